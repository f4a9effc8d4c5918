//! The processor's counter: time by which commands of one batch are told apart.
//!
//! Reading it takes some 20 cycles, a tenth of what the system's clock takes. Its rate is not known
//! here, and need not be: a batch's time is measured by the system's clock, and shared out among
//! its commands by their ticks.

/// The counter, in ticks of a constant rate. Processors of one machine may differ a little.
#[inline]
#[cfg(target_arch = "x86_64")]
pub(super) fn now() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter, in ticks of a constant rate.
#[inline]
#[cfg(target_arch = "aarch64")]
pub(super) fn now() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register that Linux lets programs read, and changes nothing.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack));
    }
    ticks
}

/// Where there is no such counter the system's clock serves, in nanoseconds.
#[inline]
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn now() -> u64 {
    crate::time::monotonic_us() * 1000
}

#[cfg(test)]
mod tests {
    use super::now;
    use std::time::{Duration, Instant};

    #[test]
    fn ticks_are_in_proportion_to_time() {
        let ticks_of = |time: Duration| {
            let (started, before) = (Instant::now(), now());
            while started.elapsed() < time {
                std::hint::spin_loop();
            }
            now().wrapping_sub(before) as f64 / started.elapsed().as_secs_f64()
        };
        // The best of several, since a busy machine interrupts this test.
        let is_constant = (0..20).any(|_| {
            let ratio = ticks_of(Duration::from_millis(2)) / ticks_of(Duration::from_millis(10));
            (0.9..1.1).contains(&ratio)
        });
        assert!(is_constant, "the rate changes");
    }
}
