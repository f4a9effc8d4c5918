//! Plain tables for a terminal, which paste into a README as they are.

use std::fmt;

/// Rows of as many cells as there are columns.
#[derive(Debug)]
pub struct Table {
    columns: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new(headings: &[&str]) -> Table {
        let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Table { columns: headings.len(), rows: vec![headings] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns, "a row has a cell for each heading");
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns).map(width).collect();
        for (at, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            writeln!(f, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
            if at == 0 {
                let rules = widths.iter().map(|width| "-".repeat(width.saturating_sub(1)) + ":");
                writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
            }
        }
        Ok(())
    }
}

/// A number in thousands.
pub(crate) fn thousands(number: f64) -> String {
    format!("{:.0}", number / 1000.0)
}

/// How many times the second the first is.
pub(crate) fn ratio(first: f64, second: f64) -> String {
    if second > 0.0 { format!("{:.2}x", first / second) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["test", "n"]);
        table.row(["SET".to_owned(), "1000".to_owned()]);
        assert_eq!(table.to_string(), "| test |    n |\n| ---: | ---: |\n|  SET | 1000 |\n");
        assert_eq!(ratio(3.0, 2.0), "1.50x");
        assert_eq!(ratio(3.0, 0.0), "-");
    }
}
