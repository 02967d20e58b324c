//! A Slurm cluster on this machine: munged, slurmctld and a slurmd for each node, on loopback and
//! in a temporary folder, ended with the value.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// The daemons, and the folder of what they write.
pub struct Cluster {
    daemons: Vec<Child>,
    folder: tempfile::TempDir,
}

/// Waits until `ready`; fails with what `told` says when that takes too long.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool, told: impl Fn() -> String) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}\n{}", told());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Cluster {
    /// A cluster of nodes with one processor each, all of them idle.
    pub fn start(nodes: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("slurm").tempdir().unwrap();
        let mut cluster = Self { daemons: Vec::new(), folder };
        let root = cluster.folder.path().to_path_buf();
        fs::write(root.join("slurm.conf"), configuration(&root, nodes)).unwrap();
        fs::create_dir(root.join("state")).unwrap();
        let key = root.join("munge.key");
        // Whoever knows the key may have anything run by whoever runs the tests.
        let mut secret = [0; 128];
        File::open("/dev/urandom").unwrap().read_exact(&mut secret).unwrap();
        fs::write(&key, secret).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
        let at = |option: &str, name: &str| format!("--{option}={}", root.join(name).display());
        cluster.daemon(
            "munged",
            &[
                "--foreground".to_owned(),
                "--force".to_owned(),
                at("socket", "munge.socket"),
                at("key-file", "munge.key"),
                at("pid-file", "munge.pid"),
                at("seed-file", "munge.seed"),
            ],
        );
        cluster.wait("munged", || root.join("munge.socket").exists());
        cluster.daemon("slurmctld", &["-D".to_owned()]);
        for node in 1..=nodes {
            cluster.daemon("slurmd", &["-D".to_owned(), "-N".to_owned(), format!("node{node}")]);
        }
        let idle = vec!["idle"; nodes].join("\n");
        cluster.wait("idle nodes", || cluster.says("sinfo -h -N -o %T") == idle);
        cluster
    }

    fn daemon(&mut self, name: &str, arguments: &[String]) {
        let log = File::create(self.folder.path().join(format!("{name}.{}", self.daemons.len())));
        let log = log.unwrap();
        let mut daemon = self.with_path(Command::new(name));
        daemon.args(arguments).stdin(Stdio::null());
        daemon.stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(daemon.spawn().unwrap_or_else(|e| panic!("{name}: {e}")));
    }

    /// The command, which finds this cluster and its programs.
    pub fn with_path(&self, mut command: Command) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    /// What one of Slurm's commands prints.
    pub fn says(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = self.with_path(Command::new(words.next().unwrap()));
        text_of(command.args(words))
    }

    /// Waits for `ready`; shows the daemons' logs when that takes too long.
    pub fn wait(&self, what: &str, ready: impl FnMut() -> bool) {
        wait_until(what, ready, || self.told());
    }

    /// The ends of the logs, and the jobs.
    fn told(&self) -> String {
        let mut told = self.says("squeue") + "\n" + &self.says("sinfo -N -l") + "\n";
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let lines: Vec<&str> = text.lines().rev().take(20).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            let _ = writeln!(told, "--- {}\n{}", path.display(), lines.join("\n"));
        }
        told
    }

    /// The processes whose environment names this cluster, by number, with their arguments.
    pub fn processes(&self) -> Vec<(u32, Vec<String>)> {
        let name = self.folder.path().display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|id| id.parse().ok()) else {
                continue;
            };
            let read = |file: &str| {
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let arguments = read("cmdline");
            if !arguments.is_empty()
                && (arguments.contains(&name) || read("environ").contains(&name))
            {
                found.push((id, arguments.split('\0').map(str::to_owned).collect()));
            }
        }
        found
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let user = text_of(Command::new("id").arg("-un"));
        self.says(&format!("scancel --user={user} --full --signal=KILL"));
        self.says(&format!("scancel --user={user}"));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) && !self.says("squeue -h").is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
        }
        let began = Instant::now();
        for daemon in self.daemons.iter_mut().rev() {
            while matches!(daemon.try_wait(), Ok(None)) {
                if began.elapsed() > Duration::from_secs(20) {
                    let _ = daemon.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // What a daemon had started and not ended.
        for (id, _) in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
    }
}

/// A port on which nothing listens; another each time, as long as the listeners are kept.
fn port(taken: &mut Vec<TcpListener>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    taken.push(listener);
    port
}

/// No accounting, no control groups, and as little waiting as Slurm allows: a requeued job waits
/// for `cred_expire` and one second.
fn configuration(root: &Path, nodes: usize) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap().to_owned();
    let user = text_of(Command::new("id").arg("-un"));
    let folder = root.display();
    let mut ports = Vec::new();
    let mut text = format!(
        "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
",
        port(&mut ports)
    );
    for node in 1..=nodes {
        let port = port(&mut ports);
        let _ = writeln!(
            text,
            "NodeName=node{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 State=UNKNOWN"
        );
    }
    text + "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
}
