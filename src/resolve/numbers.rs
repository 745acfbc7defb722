//! Numbers for tests that try many cases: they look random, and are the same on every run.

use crate::package::universe::Candidate;

/// A sequence of numbers.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new() -> Self {
        Self(1)
    }

    /// The next number, less than `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Up to `at_most` of so many candidates.
    pub(super) fn candidates(&mut self, of: u64, at_most: u64) -> Vec<Candidate> {
        (0..self.below(at_most + 1)).map(|_| Candidate(self.below(of) as u32)).collect()
    }
}
