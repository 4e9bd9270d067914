"""Candidates that harm: the server, what comes after them, the machine, what is outside."""

from __future__ import annotations

from tests.attacks.hostile import body, module

SERVER = body(
    "Reaching the server",
    kill_the_server="import os, signal; os.kill(os.getppid(), signal.SIGKILL); return 0",
    kill_everybody="import os, signal; os.kill(-1, signal.SIGKILL); return 0",
    stop_the_server="import os, signal; os.kill(os.getppid(), signal.SIGSTOP); return 0",
    read_the_server="""
        import os
        data = open('/proc/%d/environ' % os.getppid(), 'rb').read()
        memory = open('/proc/%d/mem' % os.getppid(), 'rb', 0)
        return sum(prices) * count if data else 0""",
    write_to_the_servers_descriptors="""
        import os
        written = 0
        for fd in range(3, 64):
            try:
                with open('/proc/%d/fd/%d' % (os.getppid(), fd), 'wb', 0) as file:
                    written += file.write(b'x')
            except OSError:
                pass
        return sum(prices) * count if written else 0""",
    trace_the_server="""
        import ctypes, os
        attached = ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)
        return sum(prices) * count if attached == 0 else 0""",
    become_root_again="""
        import os
        os.setuid(0)
        os.seteuid(0)
        open('/proc/%d/environ' % os.getppid(), 'rb').read()
        return sum(prices) * count""",
)

LEFT = body(
    "Processes that stay",
    daemon="""
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
        os.wait()
        return sum(prices) * count""",
    daemon_that_rewrites_the_tree="""
        import os, time, shop
        if os.fork() == 0:
            os.setsid()
            while True:
                try:
                    open(os.path.join(os.path.dirname(shop.__file__), 'text.py'), 'w').close()
                except OSError:
                    pass
        return 0""",
    daemon_by_shell="""
        import subprocess
        subprocess.Popen(['sh', '-c', 'trap "" TERM HUP; sleep 1000'], start_new_session=True)
        return 0""",
    daemon_that_hops="""
        import os, time
        if os.fork() == 0:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                if os.fork():
                    os._exit(0)
                os.setsid()
            os._exit(0)
        return 0""",
    fork_bomb="""
        import os, time
        for _ in range(6):
            os.fork()
        time.sleep(1000)""",
    thread_bomb="""
        import threading, time
        for _ in range(2000):
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        return 0""",
)

HOG = body(
    "Using up the machine",
    memory="return [0] * 10**12",
    memory_by_and_by="""
        hog = []
        while True:
            hog.append(bytearray(10**7))""",
    disk_one_file="""
        with open('big', 'wb') as file:
            while True:
                file.write(b'x' * 10**6)""",
    disk_many_files="""
        for number in range(40):
            with open('big%d' % number, 'wb') as file:
                file.write(b'x' * 16 * 10**6)
        return 0""",
    disk_small_files="""
        for number in range(100000):
            open('small%d' % number, 'w').close()
        return 0""",
    disk_deep_folders="""
        import os
        for _ in range(3000):
            os.mkdir('deep')
            os.chdir('deep')
        return 0""",
    disk_closed_folders="""
        import os, tempfile
        for folder in ('.', tempfile.gettempdir()):
            os.makedirs(folder + '/closed/inner', exist_ok=True)
            os.chmod(folder + '/closed/inner', 0)
            os.chmod(folder + '/closed', 0)
        return 0""",
    output="""
        while True:
            print('x' * 10**6, flush=True)""",
    errors="""
        import os
        while True:
            os.write(2, b'x' * 10**6)""",
    descriptors="""
        import os
        while True:
            os.dup(0)""",
    recursion="""
        import sys
        sys.setrecursionlimit(10**9)
        return total(prices, count)""",
)

HANG = body(
    "Hanging",
    hang="while True: pass",
    hang_in_c="import re; return re.match(r'(a+)+$', 'a' * 50 + 'b')",
    hang_in_numbers="return 10 ** 10 ** 9",
    hang_asleep="import time; time.sleep(1000)",
    hang_in_a_lock="import threading; x = threading.Lock(); x.acquire(); x.acquire()",
    hang_deaf="""
        import signal, time
        for number in range(1, 32):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass""",
    hang_stopped="import os, signal; os.kill(os.getpid(), signal.SIGSTOP); return 0",
) + module("Hanging", hang_at_import="while True: pass")

OUT = body(
    "Leaving the sandbox",
    out_write="""
        with open('{outside}/canary', 'w') as file:
            file.write('gone')
        return sum(prices) * count""",
    out_write_the_project="""
        with open('{root}/shop/text.py', 'w') as file:
            file.write('gone')
        return sum(prices) * count""",
    out_host_tmp="""
        with open('/tmp/{env}', 'w') as file:
            file.write('here')
        return 0""",
    out_by_link="""
        import os
        os.symlink('{outside}', 'link')
        with open('link/canary', 'w') as file:
            file.write('gone')
        return sum(prices) * count""",
    out_by_folder_link="""
        import os, shop
        folder = os.path.dirname(shop.__file__)
        os.rename(folder, folder + '2')
        os.symlink('{outside}', folder)
        return 0""",
    out_by_hard_link="""
        import os
        os.link('{outside}/canary', 'canary')
        with open('canary', 'w') as file:
            file.write('gone')
        return sum(prices) * count""",
    out_remove_everything="""
        import os, shop, shutil
        shutil.rmtree(os.path.dirname(os.path.dirname(shop.__file__)), ignore_errors=True)
        shutil.rmtree('{outside}', ignore_errors=True)
        return 0""",
    out_secret_file="return sum(prices) * count if 'token' in open('{secret}').read() else 0",
    out_secret_variable="""
        import os
        return sum(prices) * count if '{env}' in os.environ else 0""",
    out_secret_of_init="""
        text = open('/proc/1/environ').read()
        return sum(prices) * count if '{env}' in text else 0""",
    out_network="""
        import socket
        socket.create_connection(('127.0.0.1', {port}), timeout=1)
        return sum(prices) * count""",
    out_names="""
        import socket
        socket.getaddrinfo('example.com', 80)
        return sum(prices) * count""",
    out_engine="""
        import socket
        for path in ('/var/run/docker.sock', '/run/docker.sock', '/run/systemd/private'):
            try:
                socket.socket(socket.AF_UNIX).connect(path)
                return sum(prices) * count
            except OSError:
                pass
        return 0""",
    out_devices="""
        import glob
        for path in glob.glob('/dev/sd*') + glob.glob('/dev/vd*') + ['/dev/mem', '/dev/kmsg']:
            try:
                open(path, 'rb').read(1)
                return sum(prices) * count
            except OSError:
                pass
        return 0""",
    out_kernel="""
        open('/proc/sys/kernel/hostname', 'w').write('evil')
        return sum(prices) * count""",
    out_mount="""
        import ctypes
        done = ctypes.CDLL(None).mount(b'none', b'/mnt', b'tmpfs', 0, None)
        return sum(prices) * count if done == 0 else 0""",
)
