//! How much memory there is, before too much is asked for.
//!
//! What is free is the least of what the system, each control group that this process is in, and
//! the process's own limits leave. Memory that only holds what can be read again from a disk is
//! free: the system takes it back when it is asked for. What a system does not tell is not counted,
//! and where none of it is told nothing is refused.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Refuses what the system could only answer by ending the process: `what` takes so many bytes;
/// `advice` says what to do about it. Where the system does not say what is free nothing is
/// refused.
///
/// # Errors
/// One sentence when more is asked for than is free.
pub fn afford(what: &str, bytes: u128, advice: &str) -> Result<(), Failure> {
    let Some(Free { bytes: free, source }) = free() else { return Ok(()) };
    if bytes > u128::from(free) {
        return Err(Failure::usage(format!(
            "{what} takes about {} of memory and {} are free{}; {advice}",
            told(bytes),
            told(free.into()),
            source.told()
        )));
    }
    Ok(())
}

/// A size as people read it.
pub fn told(bytes: u128) -> String {
    let (unit, name) = if bytes < 1 << 30 { (1 << 20, "MiB") } else { (1 << 30, "GiB") };
    format!("{:.1} {name}", bytes as f64 / f64::from(unit))
}

/// What is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Free {
    /// So many bytes.
    pub bytes: u64,
    /// What leaves no more.
    pub source: Source,
}

/// What limits memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The machine.
    System,
    /// A control group: a container's or a service's limit.
    Group,
    /// A limit of this process, as `ulimit -v` sets it.
    Process,
}

impl Source {
    fn told(self) -> &'static str {
        match self {
            Self::System => "",
            Self::Group => " in this control group",
            Self::Process => " by the limit of this process (`ulimit -v`)",
        }
    }
}

/// What is free, if the system says anything about it.
pub fn free() -> Option<Free> {
    let system = Tree(PathBuf::from("/"));
    [
        system.available().map(|bytes| Free { bytes, source: Source::System }),
        system.in_groups().map(|bytes| Free { bytes, source: Source::Group }),
        system.by_limit().map(|bytes| Free { bytes, source: Source::Process }),
    ]
    .into_iter()
    .flatten()
    .min()
}

/// Bytes of addresses below which threads share one heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SCARCE: u64 = 4 << 30;

/// Lets all threads share one heap where a limit leaves few addresses; to be called before there
/// are threads. glibc else reserves 64 MiB of them for each thread's own, whether it fits or not
/// being chance, and what is then asked for ends the process.
pub fn share_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if Tree(PathBuf::from("/")).by_limit().is_some_and(|free| free < SCARCE) {
        // SAFETY: it sets a number of the allocator, and no other thread is there yet.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Where the system tells about itself; tests make their own.
struct Tree(PathBuf);

impl Tree {
    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.0.join(path)).ok()
    }

    fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.read(path)?.trim().parse().ok()
    }

    /// What the whole system has left.
    #[cfg(any(target_os = "linux", test))]
    fn available(&self) -> Option<u64> {
        Some(1024 * field(&self.read("proc/meminfo")?, "MemAvailable:")?)
    }

    /// The same of systems that tell it otherwise than in files.
    #[cfg(not(any(target_os = "linux", test)))]
    fn available(&self) -> Option<u64> {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        Some(system.available_memory()).filter(|&bytes| bytes > 0)
    }

    /// The least that the process's control groups leave. A container may show its own group as the
    /// root, and the process's path in it or on the host: every folder along the path counts, and
    /// those that are not there are passed over.
    fn in_groups(&self) -> Option<u64> {
        let membership = self.read("proc/self/cgroup").unwrap_or_default();
        let mut second = vec![""];
        let mut first = vec![""];
        for line in membership.lines() {
            let mut parts = line.splitn(3, ':');
            let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            match controllers {
                "" => second.push(path),
                list if list.split(',').any(|name| name == "memory") => first.push(path),
                _ => {}
            }
        }
        let along = |paths: &[&str], root: &str| -> Vec<PathBuf> {
            let below = |path: &&str| -> Vec<PathBuf> {
                let path = Path::new(path.trim_start_matches('/'));
                path.ancestors().map(|folder| Path::new(root).join(folder)).collect()
            };
            paths.iter().flat_map(below).collect()
        };
        let second = along(&second, "sys/fs/cgroup").into_iter().filter_map(|group| {
            let limit = self.number(group.join("memory.max"))?;
            let used = self.number(group.join("memory.current"))?;
            let names = ["inactive_file", "active_file", "slab_reclaimable"];
            Some(self.left(limit, used, &group, &names))
        });
        let first = along(&first, "sys/fs/cgroup/memory").into_iter().filter_map(|group| {
            let limit = self.number(group.join("memory.limit_in_bytes"))?;
            let used = self.number(group.join("memory.usage_in_bytes"))?;
            let names = ["total_inactive_file", "total_active_file"];
            Some(self.left(limit, used, &group, &names))
        });
        second.chain(first).min()
    }

    /// What of `limit` is left when `used` are used, of which what the group's `memory.stat` calls
    /// `names` can be taken back.
    fn left(&self, limit: u64, used: u64, group: &Path, names: &[&str]) -> u64 {
        let stat = self.read(group.join("memory.stat")).unwrap_or_default();
        let back = names.iter().filter_map(|name| field(&stat, name)).fold(0, u64::saturating_add);
        limit.saturating_sub(used.saturating_sub(back))
    }

    /// What the limit of the process's addresses leaves.
    #[cfg(unix)]
    fn by_limit(&self) -> Option<u64> {
        use rustix::process::{Resource, getrlimit};
        let limit = getrlimit(Resource::As).current?;
        let status = self.read("proc/self/status").unwrap_or_default();
        Some(limit.saturating_sub(1024 * field(&status, "VmSize:").unwrap_or(0)))
    }

    #[cfg(not(unix))]
    fn by_limit(&self) -> Option<u64> {
        None
    }
}

/// The number that follows `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "sys/fs/cgroup";

    /// A system that tells this: files and their texts.
    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tree = Tree(root.path().to_path_buf());
        (root, tree)
    }

    #[test]
    fn a_cache_that_can_be_read_again_is_free() {
        let at = |name: &str| format!("{GROUP}/{name}");
        let files = |stat: &str| {
            tree(&[
                (&at("memory.max"), "1073741824\n"),
                (&at("memory.current"), "1072741824\n"),
                (&at("memory.stat"), stat),
            ])
        };
        for (stat, free) in [
            ("anon 300000000\nfile 771741824\ninactive_file 771741824\n", 772_741_824),
            ("inactive_file 1000\nactive_file 20000\nslab_reclaimable 300000\n", 1_321_000),
            // What is shared between processes counts as a file there, and cannot be dropped.
            ("file 900000000\nshmem 900000000\ninactive_file 0\n", 1_000_000),
            ("", 1_000_000),
        ] {
            let (_root, tree) = files(stat);
            assert_eq!(tree.in_groups(), Some(free), "{stat}");
        }
    }

    #[test]
    fn the_tightest_group_on_the_way_counts_in_either_version() {
        let (_root, nested) = tree(&[
            ("proc/self/cgroup", "0::/user.slice/job 7/step\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/memory.current", "5\n"),
            ("sys/fs/cgroup/user.slice/job 7/memory.max", "60000000\n"),
            ("sys/fs/cgroup/user.slice/job 7/memory.current", "1000000\n"),
            ("sys/fs/cgroup/user.slice/job 7/step/memory.max", "90000000\n"),
            ("sys/fs/cgroup/user.slice/job 7/step/memory.current", "1000000\n"),
        ]);
        assert_eq!(nested.in_groups(), Some(59_000_000));
        let (_root, old) = tree(&[
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "7000\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "1000000\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "900000\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.stat", "total_inactive_file 400000\n"),
        ]);
        assert_eq!(old.in_groups(), Some(500_000));
    }

    #[test]
    fn what_is_not_told_is_not_counted() {
        let (_root, silent) = tree(&[]);
        assert_eq!((silent.available(), silent.in_groups()), (None, None));
        for strange in ["", "MemAvailable:", "MemAvailable: many kB", "\u{0}"] {
            let (_root, odd) = tree(&[
                ("proc/meminfo", strange),
                ("proc/self/cgroup", strange),
                ("sys/fs/cgroup/memory.max", strange),
            ]);
            assert_eq!((odd.available(), odd.in_groups()), (None, None), "{strange:?}");
        }
        let (_root, system) = tree(&[("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:   7 kB\n")]);
        assert_eq!(system.available(), Some(7168));
    }

    #[test]
    fn more_than_there_is_is_refused_with_both_sizes() {
        let Some(free) = free() else { return };
        afford("this", 1, "do less").unwrap();
        let sentence = afford("that", u128::MAX, "do less").unwrap_err().to_string();
        assert!(sentence.starts_with("that takes about "), "{sentence}");
        assert!(sentence.ends_with("; do less"), "{sentence}");
        assert!(sentence.contains(free.source.told()), "{sentence}");
        assert_eq!([told(3 << 20), told(3 << 29)], ["3.0 MiB", "1.5 GiB"]);
    }
}
