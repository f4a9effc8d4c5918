//! Which seeds a test runs: few by default, many in the night form.

/// The number in an environment variable.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// `TESSERA_SIM_SEED` alone, or the first `TESSERA_SIM_SEEDS`, or so many.
pub(crate) fn seeds(default: u64) -> Vec<u64> {
    match number("TESSERA_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TESSERA_SIM_SEEDS").unwrap_or(default)).collect(),
    }
}
