//! The experiments' room: a static, so that the linker counts it.

#[cfg(not(reduced))]
pub use myopia_core::experiments::Full as Room;
#[cfg(reduced)]
pub use myopia_core::experiments::Reduced as Room;

/// The room. To be asked for once in a run.
pub fn room() -> &'static mut Room {
    static mut ROOM: Room = Room::new();
    // SAFETY: there is one thread, and `main` asks once.
    unsafe { &mut *(&raw mut ROOM) }
}
