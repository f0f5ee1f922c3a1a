from powerbert_cli.tasks import synthetic


def label_of(words):
    """The class by the documented rule, told apart from the generator."""
    strong = [kind for kind in (0, 1) for w in words if w in synthetic.STRONG[kind]]
    weak = [kind for kind in (0, 1) for w in words if w in synthetic.WEAK[kind]]
    said = strong[0] if strong else weak[0]
    return 1 - said if any(w in synthetic.NEGATIONS for w in words) else said


def test_rows_follow_the_rule_and_vary_in_length():
    texts, labels = synthetic.generate(500, seed=3)
    words = [text.split() for text in texts]
    assert [label_of(w) for w in words] == labels
    lengths = sorted(map(len, words))
    assert lengths[0] <= 5 and lengths[-1] >= 50 and lengths[-1] <= 56
    assert 0.4 < sum(labels) / 500 < 0.6


def test_seeded():
    assert synthetic.generate(20, seed=0) == synthetic.generate(20, seed=0) != synthetic.generate(20, seed=1)
