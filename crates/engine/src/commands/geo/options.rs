//! The options of GEOSEARCH, GEORADIUS and their relatives.

use super::grid::{Position, Region, Shape};
use super::{position, unit};
use crate::arguments::integer;
use crate::{Args, Fail};
use tessera_collections::{SortedSet, parse_double};

/// The command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// GEORADIUS: around a position.
    Radius {
        /// Not the `_RO` form.
        may_store: bool,
    },
    /// GEORADIUSBYMEMBER: around a member.
    RadiusByMember {
        /// Not the `_RO` form.
        may_store: bool,
    },
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
}

impl Form {
    /// The position of the first option.
    pub(super) fn options_at(self) -> usize {
        match self {
            Form::Radius { .. } => 6,
            Form::RadiusByMember { .. } => 5,
            Form::Search => 2,
            Form::SearchStore => 3,
        }
    }

    fn may_store(self) -> bool {
        matches!(self, Form::Radius { may_store: true } | Form::RadiusByMember { may_store: true })
    }

    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }
}

/// In which order members are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// As they are found.
    Any,
    /// The nearest first.
    Nearest,
    /// The farthest first.
    Farthest,
}

/// The request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// The region; `None`: the key is not there, and so neither is the member in the middle.
    pub(super) region: Option<Region>,
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_position: bool,
    pub(super) order: Order,
    /// The most members.
    pub(super) count: Option<usize>,
    /// Whether the first so many members that are found will do.
    pub(super) any: bool,
    /// The position of the key for the result.
    pub(super) store: Option<usize>,
    /// Whether distances are stored instead of positions.
    pub(super) store_distances: bool,
}

/// A number that is not negative.
fn size(arg: &[u8], no_number: &'static str, negative: &'static str) -> Result<f64, Fail> {
    match parse_double(arg) {
        None => Err(Fail::text(no_number)),
        Some(size) if size < 0.0 => Err(Fail::text(negative)),
        Some(size) => Ok(size),
    }
}

/// A radius with its unit.
fn circle(args: Args<'_>, at: usize) -> Result<(Shape, f64), Fail> {
    let radius = size(args.at(at), "ERR need numeric radius", "ERR radius cannot be negative")?;
    Ok((Shape::Circle(radius), unit(args.at(at + 1))?))
}

/// A width and a height with their unit.
fn rectangle(args: Args<'_>, at: usize) -> Result<(Shape, f64), Fail> {
    const NEGATIVE: &str = "ERR height or width cannot be negative";
    let number = |at, text| parse_double(args.at(at)).ok_or(Fail::text(text));
    let width = number(at, "ERR need numeric width")?;
    let height = number(at + 1, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(Fail::text(NEGATIVE));
    }
    Ok((Shape::Box(width, height), unit(args.at(at + 2))?))
}

/// The position of a member.
fn member(set: &SortedSet, member: &[u8]) -> Result<Position, Fail> {
    match set.score(member) {
        Some(score) => Ok(Position::of_score(score)),
        None => Err(Fail::text("ERR could not decode requested zset member")),
    }
}

/// The options while they are read.
#[derive(Default)]
struct Reader {
    /// `Some(None)`: a member of a key that is not there.
    centre: Option<Option<Position>>,
    from_member: bool,
    shape: Option<(Shape, f64)>,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    order: Option<Order>,
    count: Option<usize>,
    any: bool,
    store: Option<usize>,
    store_distances: bool,
}

impl Reader {
    /// Reads the option at `at`; gives where the next one stands.
    fn option(
        &mut self,
        args: Args<'_>,
        at: usize,
        form: Form,
        set: Option<&SortedSet>,
    ) -> Result<usize, Fail> {
        match () {
            () if args.is(at, "withdist") => self.with_distance = true,
            () if args.is(at, "withhash") => self.with_hash = true,
            () if args.is(at, "withcoord") => self.with_position = true,
            () if args.is(at, "any") => self.any = true,
            () if args.is(at, "asc") => self.order = Some(Order::Nearest),
            () if args.is(at, "desc") => self.order = Some(Order::Farthest),
            () if args.is(at, "storedist") && form == Form::SearchStore => {
                self.store_distances = true;
            }
            () => return self.option_with_value(args, at, form, set),
        }
        Ok(at + 1)
    }

    fn option_with_value(
        &mut self,
        args: Args<'_>,
        at: usize,
        form: Form,
        set: Option<&SortedSet>,
    ) -> Result<usize, Fail> {
        let values = args.len() - at - 1;
        let taken = match () {
            () if args.is(at, "count") && values >= 1 => {
                let count = integer(args.at(at + 1))?;
                if count <= 0 {
                    return Err(Fail::text("ERR COUNT must be > 0"));
                }
                self.count = Some(usize::try_from(count).unwrap_or(usize::MAX));
                1
            }
            () if args.is(at, "store") && values >= 1 && form.may_store() => {
                (self.store, self.store_distances) = (Some(at + 1), false);
                1
            }
            () if args.is(at, "storedist") && values >= 1 && form.may_store() => {
                (self.store, self.store_distances) = (Some(at + 1), true);
                1
            }
            () if form.is_search() => self.search_option(args, at, values, set)?,
            () => return Err(Fail::Syntax),
        };
        Ok(at + 1 + taken)
    }

    /// Reads an option that says where to search; gives how many values it has.
    fn search_option(
        &mut self,
        args: Args<'_>,
        at: usize,
        values: usize,
        set: Option<&SortedSet>,
    ) -> Result<usize, Fail> {
        let from_position = self.centre.is_some() && !self.from_member;
        let is_circle = matches!(self.shape, Some((Shape::Circle(_), _)));
        let is_box = matches!(self.shape, Some((Shape::Box(..), _)));
        match () {
            () if args.is(at, "frommember") && values >= 1 && !from_position => {
                let name = args.at(at + 1);
                self.centre = Some(set.map(|set| member(set, name)).transpose()?);
                self.from_member = true;
                Ok(1)
            }
            () if args.is(at, "fromlonlat") && values >= 2 && !self.from_member => {
                self.centre = Some(Some(position(args, at + 1)?));
                Ok(2)
            }
            () if args.is(at, "byradius") && values >= 2 && !is_box => {
                self.shape = Some(circle(args, at + 1)?);
                Ok(2)
            }
            () if args.is(at, "bybox") && values >= 3 && !is_circle => {
                self.shape = Some(rectangle(args, at + 1)?);
                Ok(3)
            }
            () => Err(Fail::Syntax),
        }
    }

    /// Checks the rules about all options together.
    fn check(&self, args: Args<'_>, form: Form) -> Result<(), Fail> {
        let stores = self.store.is_some() || form == Form::SearchStore;
        if stores && (self.with_distance || self.with_hash || self.with_position) {
            let what = match form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(Fail::text(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let missing = match (self.centre, self.shape) {
            (None, _) => Some("exactly one of FROMMEMBER or FROMLONLAT"),
            (_, None) => Some("exactly one of BYRADIUS and BYBOX"),
            _ => None,
        };
        if let Some(missing) = missing.filter(|_| form.is_search()) {
            let name = String::from_utf8_lossy(args.at(0));
            return Err(Fail::text(format!("ERR {missing} can be specified for {name}")));
        }
        if self.any && self.count.is_none() {
            return Err(Fail::text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }
}

impl Query {
    /// Reads the arguments of a command; `set` is what the key holds, if it is there.
    pub(super) fn parse(
        args: Args<'_>,
        form: Form,
        set: Option<&SortedSet>,
    ) -> Result<Query, Fail> {
        let mut reader = Reader::default();
        match (form, set) {
            (Form::Radius { .. }, _) => {
                reader.centre = Some(Some(position(args, 2)?));
                reader.shape = Some(circle(args, 4)?);
            }
            (Form::RadiusByMember { .. }, Some(set)) => {
                reader.centre = Some(Some(member(set, args.at(2))?));
                reader.shape = Some(circle(args, 3)?);
            }
            _ => {}
        }
        let mut at = form.options_at();
        while at < args.len() {
            at = reader.option(args, at, form, set)?;
        }
        reader.check(args, form)?;
        let region = match (reader.centre.flatten(), reader.shape) {
            (Some(centre), Some((shape, unit))) => Some(Region { centre, shape, unit }),
            _ => None,
        };
        // The first so many members are known only in an order.
        let unsaid =
            if reader.count.is_some() && !reader.any { Order::Nearest } else { Order::Any };
        Ok(Query {
            region,
            with_distance: reader.with_distance,
            with_hash: reader.with_hash,
            with_position: reader.with_position,
            order: reader.order.unwrap_or(unsaid),
            count: reader.count,
            any: reader.any,
            store: if form == Form::SearchStore { Some(1) } else { reader.store },
            store_distances: reader.store_distances,
        })
    }
}
