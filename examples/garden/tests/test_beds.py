from garden.beds import Bed, area


def test_area_of_nothing():
    assert area(0, 5) == 0


def test_count():
    assert Bed("north", {"leek": 12, "onion": 40}).count() == 52


def test_count_of_an_empty_bed():
    assert Bed("north").count() == 0


def test_plant_a_new_kind():
    bed = Bed("west")
    bed.plant("chard", 6)
    assert bed.plants == {"chard": 6}


def test_plant_more_of_a_kind():
    bed = Bed("west", {"chard": 6})
    bed.plant("chard")
    assert bed.plants == {"chard": 7}
