//! INFO: the state of the server, by section.

mod sections;

use super::{ALWAYS, SERVER};
use crate::command::Command;
use crate::{Args, Cx, Db, Done};
use sections::SECTIONS;

pub(super) const INFO: Command = Command::new("info", -1, info)
    .flags(ALWAYS)
    .categories(&["@dangerous"])
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
    .doc(SERVER, "1.0.0", "O(1)", "Describes the state of the server.", "[section [section ...]]");

/// One section of the text.
struct Section {
    /// Its name in the command, which in its heading begins with a capital.
    name: &'static str,
    heading: &'static str,
    /// Whether it is shown when none is asked for.
    usual: bool,
    /// Its lines.
    lines: fn(&mut Db<'_, '_>, &Cx<'_>, &mut Lines),
}

/// Names and values, in order.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn add(&mut self, name: impl Into<String>, value: impl ToString) {
        self.0.push((name.into(), value.to_string()));
    }

    /// Sets a value that is known better, or adds it.
    fn put(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Puts what the rim knows; where the same is shown for people too, that follows.
    fn know(&mut self, name: &str, value: &str) {
        self.put(name, value.to_owned());
        let for_people = format!("{name}_human");
        let shown = self.0.iter_mut().find(|(known, _)| *known == for_people);
        if let (Some((_, shown)), Ok(bytes)) = (shown, value.parse()) {
            *shown = sections::human(bytes);
        }
    }
}

/// Which sections are asked for.
fn wanted(args: Args<'_>) -> impl Fn(&Section) -> bool {
    let any = |word: &str| (1..args.len()).any(|at| args.is(at, word));
    let all = any("all") || any("everything");
    let usual = args.len() == 1 || any("default");
    let named: Vec<bool> = SECTIONS.iter().map(|section| any(section.name)).collect();
    move |section| {
        let at = SECTIONS.iter().position(|known| known.name == section.name);
        all || usual && section.usual || at.is_some_and(|at| named[at])
    }
}

fn info(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let wanted = wanted(args);
    let from_the_rim = cx.engine.host().info();
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| wanted(section)) {
        let mut lines = Lines::default();
        (section.lines)(db, cx, &mut lines);
        let known = from_the_rim.iter().filter(|(of, _, _)| of.eq_ignore_ascii_case(section.name));
        known.for_each(|(_, name, value)| lines.know(name, value));
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {}\r\n", section.heading));
        for (name, value) in lines.0 {
            text.push_str(&format!("{name}:{value}\r\n"));
        }
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
