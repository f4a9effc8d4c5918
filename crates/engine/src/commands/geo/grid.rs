//! Geohashes: the map cut into 2^step by 2^step cells, numbered by the interleaved bits of their
//! latitude and longitude; and distances on a sphere.
//!
//! The scores must be those of Redis bit for bit, and a search must meet the same members, so every
//! formula is calculated in the same order of operations.

use std::cmp::Ordering;

/// Steps of a score: 26 bits for each coordinate.
const STEPS: u32 = 26;
/// The map ends where the Mercator projection is a square (EPSG:900913).
const LONGITUDE: (f64, f64) = (-180.0, 180.0);
const LATITUDE: (f64, f64) = (-85.05112878, 85.05112878);
/// The earth's quadratic mean radius (WGS-84), in metres.
const EARTH_RADIUS: f64 = 6_372_797.560856;
/// Half the way around the equator, in metres, in the Mercator projection.
const MERCATOR_MAX: f64 = 20_037_726.37;
const RADIAN: f64 = std::f64::consts::PI / 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Position {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// A cell: all positions whose numbers begin with these `2 * step` bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    bits: u64,
    step: u32,
}

/// A rectangle on the map, in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Area {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

/// Spreads 32 bits over the even places of 64.
fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN),
    ] {
        x = (x | x << shift) & mask;
    }
    x
}

/// Gathers the bits at the even places.
fn gather(bits: u64) -> u32 {
    let mut x = bits & EVEN;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        x = (x | x >> shift) & mask;
    }
    x as u32
}

/// The bits of the latitude.
const EVEN: u64 = 0x5555_5555_5555_5555;
/// The bits of the longitude.
const ODD: u64 = !EVEN;

/// How far `x` lies between two ends: 0 to 1.
fn offset(x: f64, (min, max): (f64, f64)) -> f64 {
    (x - min) / (max - min)
}

impl Position {
    /// Whether the map has it.
    pub(super) fn is_on_map(self) -> bool {
        (LONGITUDE.0..=LONGITUDE.1).contains(&self.longitude)
            && (LATITUDE.0..=LATITUDE.1).contains(&self.latitude)
    }

    /// The cell that it lies in.
    fn cell(self, step: u32, latitude: (f64, f64)) -> Cell {
        let cells = (1u64 << step) as f64;
        let (row, column) =
            (offset(self.latitude, latitude) * cells, offset(self.longitude, LONGITUDE) * cells);
        Cell { bits: spread(row as u32) | spread(column as u32) << 1, step }
    }

    /// The score of a member at this place.
    pub(super) fn score(self) -> f64 {
        self.cell(STEPS, LATITUDE).bits as f64
    }

    /// The place of a member with this score: the middle of its cell.
    pub(super) fn of_score(score: f64) -> Position {
        let area = Cell { bits: bits_of(score), step: STEPS }.area();
        let middle =
            |(min, max): (f64, f64), ends: (f64, f64)| ((min + max) / 2.0).clamp(ends.0, ends.1);
        Position {
            longitude: middle(area.longitude, LONGITUDE),
            latitude: middle(area.latitude, LATITUDE),
        }
    }

    /// The geohash of the place as others write it, with latitudes from -90 to 90: eleven letters,
    /// the last of which means nothing.
    pub(super) fn letters(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = self.cell(STEPS, (-90.0, 90.0)).bits;
        std::array::from_fn(|at| match at {
            10 => ALPHABET[0],
            _ => ALPHABET[(bits >> (52 - (at + 1) * 5)) as usize & 31],
        })
    }

    /// The distance to another place, in metres: the haversine formula.
    pub(super) fn distance(self, other: Position) -> f64 {
        let (from, to) = (self.longitude * RADIAN, other.longitude * RADIAN);
        let v = ((to - from) / 2.0).sin();
        if v == 0.0 {
            return self.distance_along_meridian(other);
        }
        let (from, to) = (self.latitude * RADIAN, other.latitude * RADIAN);
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// The distance between the latitudes, in metres.
    fn distance_along_meridian(self, other: Position) -> f64 {
        EARTH_RADIUS * (other.latitude * RADIAN - self.latitude * RADIAN).abs()
    }
}

impl Cell {
    fn area(self) -> Area {
        let (row, column) = (gather(self.bits), gather(self.bits >> 1));
        let cells = (1u64 << self.step) as f64;
        let edge =
            |number: u32, (min, max): (f64, f64)| min + (f64::from(number) / cells) * (max - min);
        Area {
            longitude: (edge(column, LONGITUDE), edge(column.wrapping_add(1), LONGITUDE)),
            latitude: (edge(row, LATITUDE), edge(row.wrapping_add(1), LATITUDE)),
        }
    }

    /// The neighbour so many cells to the east and to the north; around the end of the map it goes
    /// on at the other end.
    fn neighbour(self, east: i32, north: i32) -> Cell {
        let mask = u64::MAX >> (64 - 2 * self.step);
        let moved = |own: u64, step: i32| {
            let (bits, others) = (self.bits & own, !own & mask);
            match step {
                1 => bits.wrapping_add(others.wrapping_add(1)) & own & mask,
                -1 => (bits | others).wrapping_sub(others.wrapping_add(1)) & own & mask,
                _ => bits,
            }
        };
        Cell { bits: moved(ODD, east) | moved(EVEN, north), step: self.step }
    }

    /// The scores of the members in the cell: from the first to before the second.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.step);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// The region that is searched.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Shape {
    /// All places up to so many units away.
    Circle(f64),
    /// A box of this width and height, in units, along the degrees.
    Box(f64, f64),
}

/// A shape around a place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Region {
    pub(super) centre: Position,
    pub(super) shape: Shape,
    /// Metres in a unit.
    pub(super) unit: f64,
}

impl Region {
    /// The distance of a place from the centre, in metres, if the place lies in the region.
    pub(super) fn distance(&self, place: Position) -> Option<f64> {
        let centre = self.centre;
        match self.shape {
            Shape::Circle(radius) => {
                // At the antipode the distance may be NaN, which Redis lets through.
                Some(centre.distance(place)).filter(|distance| {
                    distance.partial_cmp(&(radius * self.unit)) != Some(Ordering::Greater)
                })
            }
            Shape::Box(width, height) => {
                let (width, height) = (width * self.unit, height * self.unit);
                if place.distance_along_meridian(centre) > height / 2.0 {
                    return None;
                }
                let beside = Position { longitude: centre.longitude, latitude: place.latitude };
                if place.distance(beside) > width / 2.0 {
                    return None;
                }
                Some(centre.distance(place))
            }
        }
    }

    /// Half the width and half the height, in metres.
    fn halves(&self) -> (f64, f64) {
        let (width, height) = match self.shape {
            Shape::Circle(radius) => (radius, radius),
            Shape::Box(width, height) => (width / 2.0, height / 2.0),
        };
        (self.unit * width, self.unit * height)
    }

    /// A rectangle around the region. Its sides are those at the latitude farther from the equator.
    fn bounds(&self) -> Area {
        let (width, height) = self.halves();
        let Position { longitude, latitude } = self.centre;
        let up = height / EARTH_RADIUS / RADIAN;
        let edge = if latitude < 0.0 { latitude - up } else { latitude + up };
        let aside = width / EARTH_RADIUS / (edge * RADIAN).cos() / RADIAN;
        Area {
            longitude: (longitude - aside, longitude + aside),
            latitude: (latitude - up, latitude + up),
        }
    }

    /// The distance from the centre to the farthest place, in metres.
    fn reach(&self) -> f64 {
        let reach = match self.shape {
            Shape::Circle(radius) => radius,
            Shape::Box(width, height) => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        reach * self.unit
    }

    /// The step whose cells are so large that the centre's cell and its neighbours should cover the
    /// region.
    fn step(&self) -> u32 {
        let (mut reach, mut step) = (self.reach(), 1i32);
        if reach == 0.0 {
            return STEPS;
        }
        // Below the least normal number this ends after 1,100 rounds.
        while reach < MERCATOR_MAX {
            reach *= 2.0;
            step += 1;
        }
        step -= 2;
        // Towards the poles cells become narrow.
        let latitude = self.centre.latitude.abs();
        step -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        step.clamp(1, STEPS as i32) as u32
    }

    /// The cells that cover the region, in the order in which Redis searches them.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let mut step = self.step();
        let mut centre = self.centre.cell(step, LATITUDE);
        let too_small = centre.neighbour(0, 1).area().latitude.1 < bounds.latitude.1
            || centre.neighbour(0, -1).area().latitude.0 > bounds.latitude.0
            || centre.neighbour(1, 0).area().longitude.1 < bounds.longitude.1
            || centre.neighbour(-1, 0).area().longitude.0 > bounds.longitude.0;
        if step > 1 && too_small {
            step -= 1;
            centre = self.centre.cell(step, LATITUDE);
        }
        let area = centre.area();
        // With four cells only all of them are needed.
        let cuts = step >= 2;
        let no_south = cuts && area.latitude.0 < bounds.latitude.0;
        let no_north = cuts && area.latitude.1 > bounds.latitude.1;
        let no_west = cuts && area.longitude.0 < bounds.longitude.0;
        let no_east = cuts && area.longitude.1 > bounds.longitude.1;
        const ORDER: [(i32, i32); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells: Vec<Cell> = Vec::with_capacity(ORDER.len());
        for (east, north) in ORDER {
            let needless = north < 0 && no_south
                || north > 0 && no_north
                || east < 0 && no_west
                || east > 0 && no_east;
            let cell = centre.neighbour(east, north);
            // If the map has few cells, neighbours on both sides are the same.
            if !needless && !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }
}

/// The bits of a score that ZADD may have given, however far it is from a place: numbers of 64 bits
/// and more have none, as Redis on x86-64 has it.
fn bits_of(score: f64) -> u64 {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    match score {
        _ if score < TWO_TO_63 => score as i64 as u64,
        _ if score < 2.0 * TWO_TO_63 => score as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Position> {
        (-180.0..180.0, -85.05..85.05)
            .prop_map(|(longitude, latitude)| Position { longitude, latitude })
    }

    #[test]
    fn scores_are_those_of_redis() {
        // GEOADD and ZSCORE, GEOHASH, GEOPOS of Redis' documentation.
        let palermo = Position { longitude: 13.361389, latitude: 38.115556 };
        let catania = Position { longitude: 15.087269, latitude: 37.502669 };
        assert_eq!(palermo.score(), 3479099956230698.0);
        assert_eq!(catania.score(), 3479447370796909.0);
        let back = Position::of_score(palermo.score());
        assert_eq!(&back.letters(), b"sqc8b49rny0");
        assert_eq!(format!("{:.17}", back.longitude), "13.36138933897018433");
        let distance = back.distance(Position::of_score(catania.score()));
        assert_eq!(format!("{distance:.4}"), "166274.1516");
    }

    proptest! {
        #[test]
        fn bits_that_are_spread_are_gathered_again(bits: u32) {
            prop_assert_eq!(gather(spread(bits)), bits);
            prop_assert_eq!(spread(bits) & ODD, 0);
        }

        #[test]
        fn a_score_leads_back_to_the_place(place in place()) {
            prop_assert!(place.distance(Position::of_score(place.score())) < 1.0);
        }

        #[test]
        fn a_neighbour_of_a_neighbour_is_the_cell_itself(
            place in place(), step in 1u32..=26, east in -1i32..=1, north in -1i32..=1,
        ) {
            let cell = place.cell(step, LATITUDE);
            prop_assert_eq!(cell.neighbour(east, north).neighbour(-east, -north), cell);
        }

        #[test]
        fn cells_cover_the_region_away_from_the_edges_of_the_map(
            longitude in -100.0..100.0f64, latitude in -60.0..60.0f64, reach in 1.0..500_000.0f64,
            angle in 0.0..std::f64::consts::TAU, part in 0.0..1.0f64, is_box: bool,
        ) {
            let centre = Position { longitude, latitude };
            let shape = if is_box { Shape::Box(reach, reach * 2.0) } else { Shape::Circle(reach) };
            let region = Region { centre, shape, unit: 1.0 };
            let (dx, dy) = (reach * part * angle.cos(), reach * part * angle.sin());
            let place = Position {
                longitude: longitude + dx / EARTH_RADIUS / (latitude * RADIAN).cos() / RADIAN,
                latitude: latitude + dy / EARTH_RADIUS / RADIAN,
            };
            let place = Position::of_score(place.score());
            if region.distance(place).is_some() {
                let score = place.score();
                let covered = region.cells().iter().any(|cell| {
                    let (from, to) = cell.scores();
                    (from..to).contains(&score)
                });
                prop_assert!(covered, "{:?} in {:?}", place, region);
            }
        }
    }
}
