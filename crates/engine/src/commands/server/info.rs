//! INFO: the state of the server, by section.

mod sections;

use super::{ALWAYS, SERVER};
use crate::command::{Categories, Command};
use crate::metrics::Source;
use crate::{Args, Cx, Db, Done, Facts, Metrics};
use sections::SECTIONS;

pub(super) const INFO: Command = Command::new("info", -1, info)
    .flags(ALWAYS)
    .categories(Categories::DANGEROUS)
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
    lines: fn(&mut Db<'_, '_>, &Cx<'_>, &Facts, &mut Lines),
}

/// Names and values, in order.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn add(&mut self, name: impl Into<String>, value: impl ToString) {
        self.0.push((name.into(), value.to_string()));
    }

    /// Adds these metrics.
    fn metrics(&mut self, metrics: Metrics, cx: &Cx<'_>, facts: &Facts) {
        let source = Source { engine: cx.engine, facts, now: cx.now };
        metrics.iter().for_each(|metric| self.add(metric.name, metric.read(&source)));
    }
}

/// The sections that are asked for.
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
    let facts = cx.engine.host().facts();
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| wanted(section)) {
        let mut lines = Lines::default();
        (section.lines)(db, cx, &facts, &mut lines);
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
