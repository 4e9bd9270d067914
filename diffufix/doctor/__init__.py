"""`diffufix doctor`: what works on this machine and in this project, seen by trying it."""

from diffufix.doctor.check import Health, HealthCheck
from diffufix.doctor.rounds import examine

__all__ = ["Health", "HealthCheck", "examine"]
