//! LOLWUT: a small mosaic, different every time, and the version.

use super::SERVER;
use crate::arguments::integer;
use crate::command::{Command, Flags};
use crate::{Args, Cx, Db, Done};

pub(super) const LOLWUT: Command =
    Command::new("lolwut", -1, lolwut).flags(Flags::READONLY.or(Flags::FAST)).doc(
        SERVER,
        "5.0.0",
        "O(1)",
        "Lays a small mosaic, and answers the version.",
        "[VERSION version] [columns] [rows]",
    );

/// The shapes of a tile.
const TILES: [char; 6] = ['◢', '◣', '◤', '◥', '■', '□'];
const COLUMNS_MAX: i64 = 64;
const ROWS_MAX: i64 = 32;

/// A mosaic of this size, the same to the left and to the right of its middle, and above and below.
fn mosaic(columns: usize, rows: usize, mut random: impl FnMut() -> u64) -> String {
    let (half, quarter) = (columns.div_ceil(2), rows.div_ceil(2));
    let stones: Vec<usize> =
        (0..half * quarter).map(|_| (random() >> 33) as usize % TILES.len()).collect();
    let mut text = String::new();
    for row in 0..rows {
        for column in 0..columns {
            let (left, top) = (column < half, row < quarter);
            let x = if left { column } else { columns - 1 - column };
            let y = if top { row } else { rows - 1 - row };
            text.push(TILES[mirrored(stones[y * half + x], !left, !top)]);
        }
        text.push('\n');
    }
    text
}

/// The tile that mirrors another: the corners change places.
fn mirrored(tile: usize, horizontally: bool, vertically: bool) -> usize {
    const ACROSS: [usize; 6] = [1, 0, 3, 2, 4, 5];
    const DOWN: [usize; 6] = [3, 2, 1, 0, 4, 5];
    let tile = if horizontally { ACROSS[tile] } else { tile };
    if vertically { DOWN[tile] } else { tile }
}

fn lolwut(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let first = if args.is(1, "version") { 3 } else { 1 };
    let size = |at: usize, usual: i64, most: i64| match args.get(at) {
        Some(arg) => integer(arg).map(|size| size.clamp(1, most) as usize),
        None => Ok(usual as usize),
    };
    let (columns, rows) = (size(first, 32, COLUMNS_MAX)?, size(first + 1, 8, ROWS_MAX)?);
    let engine = cx.engine;
    let mut text = mosaic(columns, rows, || engine.random());
    text.push_str(&format!(
        "\nTessera ver. {} (Redis ver. {})\n",
        env!("CARGO_PKG_VERSION"),
        super::COMPATIBLE_VERSION
    ));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
