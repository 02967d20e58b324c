//! The time in a browser, from the import `env.now`; elsewhere std's.

#[cfg(not(target_arch = "wasm32"))]
pub use std::time::*;

#[cfg(target_arch = "wasm32")]
pub use std::time::Duration;
#[cfg(target_arch = "wasm32")]
pub use wasm::Instant;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::Duration;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        /// Milliseconds of a monotonic clock: `performance.now()`.
        #[link_name = "now"]
        safe fn milliseconds() -> f64;
    }

    /// A point in time.
    #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
    pub struct Instant(f64);

    impl Instant {
        /// Now.
        pub fn now() -> Self {
            Self(milliseconds())
        }

        /// The time since then.
        pub fn elapsed(&self) -> Duration {
            Self::now().duration_since(*self)
        }

        /// The time since `earlier`, none if that is later.
        pub fn duration_since(&self, earlier: Self) -> Duration {
            Duration::try_from_secs_f64((self.0 - earlier.0) / 1e3).unwrap_or_default()
        }
    }
}
