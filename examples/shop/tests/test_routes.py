import pytest

from shop.routes import RoadMap


@pytest.fixture
def roads():
    road_map = RoadMap()
    for a, b, km in [
        ("Depot", "Mill", 4),
        ("Depot", "Harbour", 2),
        ("Harbour", "Mill", 1),
        ("Mill", "Tower", 5),
        ("Isle", "Lighthouse", 3),
    ]:
        road_map.add_road(a, b, km)
    return road_map


def test_roads_go_both_ways(roads):
    assert roads.neighbours("Tower") == {"Mill": 5}
    assert roads.neighbours("Mill") == {"Depot": 4, "Harbour": 1, "Tower": 5}


def test_the_shorter_of_two_roads_counts(roads):
    roads.add_road("Depot", "Mill", 9)
    assert roads.neighbours("Depot")["Mill"] == 4
    with pytest.raises(ValueError, match="positive"):
        roads.add_road("Depot", "Mill", 0)


def test_shortest_way_over_one_road(roads):
    assert roads.shortest("Mill", "Tower") == (5, ["Mill", "Tower"])
    assert roads.shortest("Mill", "Mill") == (0, ["Mill"])


def test_shortest_way_may_be_a_detour(roads):
    assert roads.shortest("Depot", "Mill") == (3, ["Depot", "Harbour", "Mill"])


def test_shortest_way_over_several_roads(roads):
    assert roads.shortest("Depot", "Tower") == (8, ["Depot", "Harbour", "Mill", "Tower"])


def test_no_way_between_islands(roads):
    assert roads.shortest("Depot", "Isle") is None


def test_reachable(roads):
    assert roads.reachable("Isle") == {"Isle", "Lighthouse"}


def test_islands_largest_first(roads):
    assert roads.islands() == [{"Depot", "Harbour", "Mill", "Tower"}, {"Isle", "Lighthouse"}]
    assert roads.places() == ["Depot", "Harbour", "Isle", "Lighthouse", "Mill", "Tower"]
