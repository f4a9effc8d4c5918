//! Forms that are written by hand, where the grammar is too weak: it does not know which options
//! exclude each other, nor that a group must be there before it is read from.
//!
//! One line is one form. `%k` a key of the family, `%K` of any, `%v` a value, `%n` an integer, `%c`
//! a count, `%f` a floating point number, `%u` a score, `%r` an end of a range of scores, `%l` of
//! members, `%x` of ids, `%X` a new id, `%b` the position of a bit, `%j` a number of bits, `%i` the
//! kind of an integer in a bitmap, `%o` a longitude, `%a` a latitude, `%w` a distance, `%p` a
//! pattern, `%T` a timeout, `%d` a database, `%e` seconds not used before, `%E` the same in ms,
//! `%s` seconds since 1970 in the future, `%m` ms since 1970, `%N` a bad time, `%h` a key for a
//! HyperLogLog, `%D` what DUMP of a key answers.

mod bitmaps;
mod collections;
mod geo;
mod hyperloglogs;
mod keys;
mod server;
mod streams;
mod strings;

/// The family of what speaks of the server itself, or would end the run if it were drawn.
pub(crate) const SERVER: &str = "server";
/// All families: the groups whose commands are drawn from the grammar, and [`SERVER`], whose are
/// only written as forms.
pub(crate) const FAMILIES: &[&str] = &[
    "string",
    "bitmap",
    "hyperloglog",
    "list",
    "set",
    "hash",
    "sorted-set",
    "stream",
    "geo",
    "generic",
    SERVER,
];

/// The forms of a family.
pub(crate) fn of(family: &str) -> &'static [&'static str] {
    match family {
        "string" => strings::FORMS,
        "bitmap" => bitmaps::FORMS,
        "hyperloglog" => hyperloglogs::FORMS,
        "list" => collections::LISTS,
        "set" => collections::SETS,
        "hash" => collections::HASHES,
        "sorted-set" => collections::SORTED_SETS,
        "stream" => streams::FORMS,
        "geo" => geo::FORMS,
        "generic" => keys::FORMS,
        SERVER => server::FORMS,
        _ => &[],
    }
}

/// All forms.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| of(family)).copied()
}
