//! Real boards through `probe-rs`: flash the image, let it run, read its log over RTT.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use object::read::elf::ElfFile32;
use object::{Object, ObjectSegment, ObjectSymbol};
use probe_rs::config::Registry;
use probe_rs::flashing::{DownloadOptions, FlashLoader};
use probe_rs::probe::DebugProbeInfo;
use probe_rs::probe::list::{Accessibility, Lister};
use probe_rs::rtt::{self, ChannelMode, Rtt, ScanRegion};
use probe_rs::semihosting::SemihostingCommand;
use probe_rs::{
    BreakpointCause, Core, CoreStatus, HaltReason, Permissions, Session, VectorCatchCondition,
};

use super::{NotRun, Target, decode};
use crate::failure::Failure;

/// How long a step on the way to the run may take: a reset, the way to `main`.
const MOMENT: Duration = Duration::from_secs(2);

/// A chip to look for at the end of a probe.
#[derive(Debug)]
pub struct Board {
    chip: probe_rs::Target,
}

/// The chip that probe-rs knows by this name (or by what its name begins with), and the firmware's
/// row for it.
///
/// # Errors
/// When probe-rs or the firmware does not know it.
pub fn chip<'a>(name: &str, targets: &'a [Target]) -> Result<(&'a Target, Board), Failure> {
    let registry = Registry::from_builtin_families();
    let known = |name: &str| registry.get_target_by_name(name);
    let chip = known(name).map_err(|error| {
        let boards = super::boards(targets);
        Failure::usage(format!(
            "--chip {name}: probe-rs knows no such chip ({error}); the firmware: {boards}"
        ))
    })?;
    let is_it = |target: &&Target| {
        let board = target.chip.as_deref().and_then(|name| known(name).ok());
        board.is_some_and(|board| board.name == chip.name)
    };
    match targets.iter().find(is_it) {
        Some(target) => Ok((target, Board { chip })),
        None => Err(Failure::usage(format!(
            "--chip {name}: probe-rs knows {}, but the firmware has no memory layout for it; {}, \
             and firmware/README.md says how to add one",
            chip.name,
            super::boards(targets)
        ))),
    }
}

/// An image as it lies in a chip's memory.
struct Image {
    /// Where the log's control block is.
    control_block: u64,
    /// Where the program starts once its memory is initialised.
    main: u64,
    /// What is to be flashed.
    loader: FlashLoader,
}

impl Board {
    /// Whether a probe is there to reach it.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn ready(&self) -> Result<(), NotRun> {
        only_probe().map(|_| ())
    }

    /// Whether `image` is a firmware image for this chip.
    ///
    /// # Errors
    /// When it is not.
    pub fn fits(&self, image: &Path) -> Result<(), NotRun> {
        self.load(image).map(|_| ())
    }

    fn load(&self, image: &Path) -> Result<Image, NotRun> {
        decode::table(image)?;
        let wrong = |reason: String| {
            NotRun(format!("{} is no image for {}: {reason}", image.display(), self.chip.name))
        };
        let bytes = fs::read(image).map_err(|error| wrong(error.to_string()))?;
        let elf = ElfFile32::<object::Endianness>::parse(&*bytes)
            .map_err(|error| wrong(error.to_string()))?;
        let mut loader = self.chip.flash_loader();
        let headers = elf.elf_program_headers();
        for (segment, header) in elf.segments().zip(headers.iter().filter(|h| is_loaded(h))) {
            let data = segment.data().map_err(|error| wrong(error.to_string()))?;
            if !data.is_empty() {
                let address = u64::from(header.p_paddr.get(elf.endian()));
                loader.add_data(address, data).map_err(|error| wrong(error.to_string()))?;
            }
        }
        let symbol = |name: &str| {
            let mut symbols = elf.symbols();
            let found = symbols.find(|symbol| symbol.name() == Ok(name) && symbol.is_definition());
            found.map(|symbol| symbol.address())
        };
        let control_block = symbol("_SEGGER_RTT")
            .ok_or_else(|| wrong("it logs to an emulator, not to a probe".into()))?;
        let main = symbol("main").ok_or_else(|| wrong("it has no main".into()))? & !1;
        Ok(Image { control_block, main, loader })
    }

    /// Flashes `image` and runs it for at most `patience`; returns the lines of its log, the last
    /// of which says how it ended.
    ///
    /// # Errors
    /// When there is no probe, the image is another chip's, or the chip does not answer.
    pub fn run(&self, image: &Path, patience: Duration) -> Result<Vec<String>, NotRun> {
        let Image { control_block, main, loader } = self.load(image)?;
        let probe = only_probe()?;
        let refused = |what: &str, error: &dyn std::error::Error| {
            NotRun(format!("{}: {what}: {}", probe.identifier, causes(error)))
        };
        let opened = probe.open().map_err(|error| refused("the probe does not open", &error))?;
        let attach = opened.attach(self.chip.clone(), Permissions::default());
        let mut session = attach
            .map_err(|error| refused(&format!("{} does not answer", self.chip.name), &error))?;
        let mut options = DownloadOptions::new();
        options.verify = true;
        loader
            .commit(&mut session, options)
            .map_err(|error| refused("the image could not be flashed", &error))?;
        let mut bytes = Vec::new();
        let ending = follow(&mut session, (control_block, main), patience, &mut bytes)
            .unwrap_or_else(|error| format!("broken connection: {}", causes(&*error)));
        let mut log = decode::defmt(image, &bytes)?;
        log.push(ending);
        Ok(log)
    }
}

fn is_loaded(header: &object::elf::ProgramHeader32<object::Endianness>) -> bool {
    header.p_type.get(object::Endianness::Little) == object::elf::PT_LOAD
}

/// The one probe that is connected.
fn only_probe() -> Result<DebugProbeInfo, NotRun> {
    let probes = Lister::new().list_all_with_access();
    let names = probes.iter().map(|probe| probe.info.identifier.as_str()).collect::<Vec<_>>();
    match probes.as_slice() {
        [] => Err(NotRun("no debug probe is connected; connect the board by USB".into())),
        [probe] if probe.accessibility == Accessibility::PermissionDenied => Err(NotRun(format!(
            "{} may not be used by this user; install probe-rs's udev rules (https://probe.rs/docs/getting-started/probe-setup)",
            probe.info.identifier
        ))),
        [probe] => Ok(probe.info.clone()),
        _ => Err(NotRun(format!(
            "{} debug probes are connected ({}); leave one",
            probes.len(),
            names.join(", ")
        ))),
    }
}

/// Resets the chip, lets it run and collects its log in `bytes`; returns the line that says how it
/// ended.
fn follow(
    session: &mut Session,
    (control_block, main): (u64, u64),
    patience: Duration,
    bytes: &mut Vec<u8>,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut core = session.core(0)?;
    core.reset_and_halt(MOMENT)?;
    // A HardFault is to reach the firmware's own handler, which reports it.
    core.disable_vector_catch(VectorCatchCondition::All).ok();
    // At `main` the control block is in place and nothing is logged yet: from here on the chip
    // waits for its reader.
    core.set_hw_breakpoint(main)?;
    core.run()?;
    core.wait_for_core_halted(MOMENT)?;
    core.clear_hw_breakpoint(main)?;
    let mut channels = Rtt::attach_region(&mut core, &ScanRegion::Exact(control_block))?;
    let channel = channels.up_channel(0).ok_or(rtt::Error::MissingChannel(0))?;
    channel.set_mode(&mut core, ChannelMode::BlockIfFull)?;
    core.run()?;
    let deadline = Instant::now() + patience;
    let mut piece = [0; 1024];
    loop {
        // The status first: what is read after a halt is all there is.
        let status = core.status()?;
        loop {
            match channel.read(&mut core, &mut piece)? {
                0 => break,
                count => bytes.extend(&piece[..count]),
            }
        }
        if let CoreStatus::Halted(reason) = status {
            return Ok(ending(&mut core, reason));
        }
        if Instant::now() >= deadline {
            core.halt(MOMENT)?;
            return Ok(format!("stopped after {} s without an end", patience.as_secs()));
        }
    }
}

fn ending(core: &mut Core<'_>, reason: HaltReason) -> String {
    match reason {
        HaltReason::Breakpoint(BreakpointCause::Semihosting(SemihostingCommand::ExitSuccess)) => {
            "exit status 0".into()
        }
        HaltReason::Breakpoint(BreakpointCause::Semihosting(SemihostingCommand::ExitError(
            details,
        ))) => match details.exit_status {
            Some(status) => format!("exit status {status}"),
            None => format!("broken exit: {details}"),
        },
        reason => {
            let place: Result<u32, _> = core.read_core_reg(core.program_counter());
            let place = place.map_or("an unknown address".into(), |at| format!("{at:08x}"));
            format!("broken run: halted at {place} ({reason:?})")
        }
    }
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Firmware;

    /// The linker's layout against the memory that probe-rs knows the chips to have.
    #[test]
    fn every_boards_memory_lies_in_its_chips() {
        let Firmware { targets, .. } = Firmware::open(None).unwrap();
        let mut boards = 0;
        for target in targets.iter().filter(|target| target.chip.is_some()) {
            let (row, board) = chip(target.chip.as_deref().unwrap(), &targets).unwrap();
            assert_eq!(row.name, target.name);
            for (region, is_flash) in [(target.flash.unwrap(), true), (target.ram.unwrap(), false)]
            {
                let range = u64::from(region.origin)..u64::from(region.origin + region.size);
                let memory = board.chip.memory_map.iter().find(|m| m.contains(range.start));
                let memory = memory.unwrap_or_else(|| panic!("{}: {range:x?}", target.name));
                assert!(range.end <= memory.address_range().end, "{}: {range:x?}", target.name);
                assert_eq!(memory.is_nvm(), is_flash, "{}", target.name);
            }
            boards += 1;
        }
        assert_eq!(boards, 3);
    }
}
