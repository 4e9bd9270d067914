"""Plain text output."""


def wrap(text, width):
    """Lines of whole words, none longer than the width unless a word is."""
    lines = []
    line = ""
    for word in text.split():
        if not line:
            line = word
        elif len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line += " " + word
    if line:
        lines.append(line)
    return lines


def table(rows):
    """Columns padded to their widest cell; numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    out = []
    for row in rows:
        cells = []
        for cell, width in zip(row, widths):
            number = cell.replace(".", "").replace(",", "").lstrip("-").isdigit()
            cells.append(cell.rjust(width) if number else cell.ljust(width))
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)
