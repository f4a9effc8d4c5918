//! Runs every target for about a second with random bytes; for `BOLERO_RANDOM_TEST_TIME_MS`
//! milliseconds where that is set. A failure shows the input and the seed that repeats it
//! (`BOLERO_RANDOM_SEED`).

use tessera_fuzz::{PeakAlloc, targets};

#[global_allocator]
static ALLOC: PeakAlloc = PeakAlloc;

/// Bytes of instructions that a target gets at most: a handful of changes, and where to cut.
const INSTRUCTIONS_MAX: usize = 256;

macro_rules! fuzz {
    ($($target:ident),+ $(,)?) => {$(
        #[test]
        fn $target() {
            bolero::check!()
                .with_max_len(INSTRUCTIONS_MAX)
                .for_each(|bytes: &[u8]| targets::$target(bytes));
        }
    )+};
}

fuzz!(
    requests,
    rdb_streams,
    dump_payloads,
    restored_values,
    bus_packets,
    nodes_conf_text,
    config_text,
    hyperloglogs,
);
