//! Lines as text, for targets without `defmt`.

use core::fmt::{self, Write};

/// A line on its way to the port's `write`.
pub struct Line;

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        super::here::write(text.as_bytes());
        Ok(())
    }
}

/// Prints one line.
macro_rules! say {
    ($($message:tt)*) => {{
        use core::fmt::Write as _;
        // Writing to the console cannot fail: the port ends the run where it does.
        let _ = writeln!($crate::port::Line, $($message)*);
    }};
}
pub(crate) use say;

/// Prints where and why the program panicked.
pub fn say_panic(info: &core::panic::PanicInfo) {
    say!("broken {}", info);
}
