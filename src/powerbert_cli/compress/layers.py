"""Fewer layers: the students of DistilBERT (every second one) and of BERT-PKD (the first ones)."""

# of twelve layers, as published (scripts/extract_distilbert.py; transformers' make_student)
_PUBLISHED = {6: (0, 2, 4, 7, 9, 11), 4: (0, 4, 8, 11), 3: (0, 6, 11)}


def taken(layers: int, keep: int, take: str) -> tuple[int, ...]:
    """Which of L layers (0-based) a student of `keep` layers begins with.

    Args:
        take: even (from the first to the last, at equal steps), or first.
    """
    if take == "first" or keep == 1:
        return tuple(range(keep))
    if layers == 12 and keep in _PUBLISHED:
        return _PUBLISHED[keep]
    return tuple(round(i * (layers - 1) / (keep - 1)) for i in range(keep))


def patient_states(teacher: int, student: int, take: str) -> tuple[int, ...]:
    """Which hidden states of a teacher of L layers the first k - 1 of a student imitate (BERT-PKD, section 3.2).

    Args:
        take: skip (at equal steps: 2, 4, 6, 8, 10 of twelve for six), or last (7 to 11).
    """
    if take == "last":
        return tuple(range(teacher - student + 1, teacher))
    return tuple(round(i * teacher / student) for i in range(1, student))
