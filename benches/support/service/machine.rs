//! What limits a figure: who used how much of the processors, and how often the disk can sync.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many of the kernel's ticks of processor time make a second; fixed on Linux for what processes are told.
const TICKS_PER_SECOND: f64 = 100.0;
/// How much is written before each sync, when the disk alone is measured.
const SYNCED_BYTES: usize = 4_096;

/// The processor time that was used until a moment, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    server: f64,
    client: f64,
    machine: f64,
    at: Instant,
}

/// How many processors were busy for whom between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    /// The server with everything that belongs to it.
    pub server: f64,
    /// This process, which asks.
    pub client: f64,
    /// Everybody else, who should have been quiet.
    pub others: f64,
}

impl Spent {
    /// Until now, by these processes and the children of them, and by this one.
    pub fn until_now(server: &[u32]) -> Spent {
        let server = processes().filter(|process| server.iter().any(|pid| process.belongs_to(*pid)));
        let server = server.map(|process| process.spent).sum();
        let client = Process::read(std::process::id()).map_or(0.0, |process| process.spent);
        Spent { server, client, machine: machine(), at: Instant::now() }
    }

    /// What was busy since an earlier moment.
    pub fn since(&self, earlier: &Spent) -> Busy {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let (server, client) = (self.server - earlier.server, self.client - earlier.client);
        let others = (self.machine - earlier.machine - server - client).max(0.0);
        Busy { server: server / seconds, client: client / seconds, others: others / seconds }
    }
}

/// The processor time that the threads of a process with a name have had, in seconds.
pub fn thread_seconds(pid: u32, name: &str) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let named = threads.filter(|thread| {
        let said = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        said.trim_end() == name
    });
    named.filter_map(|thread| Process::read_from(&thread.path().join("stat"))).map(|thread| thread.spent).sum()
}

struct Process {
    pid: u32,
    parent: u32,
    spent: f64,
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        Process::read_from(Path::new(&format!("/proc/{pid}/stat")))
    }

    /// Of a process, or of one of its threads.
    fn read_from(stat: &Path) -> Option<Process> {
        let text = std::fs::read_to_string(stat).ok()?;
        let pid = text.split_once(' ')?.0.parse().ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let spent = (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND;
        Some(Process { pid, parent: fields.get(1)?.parse().ok()?, spent })
    }

    fn belongs_to(&self, pid: u32) -> bool {
        self.pid == pid || self.parent == pid
    }
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
}

/// The time of all processors that was not idle.
fn machine() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = text.lines().next().unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq, …; guests are counted in user already.
    let busy = ticks.iter().take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// The most that a process ever had in memory, in MiB.
pub fn peak_memory_mib(pid: u32) -> Option<f64> {
    Some(status_kib(pid, "VmHWM:")? / 1_024.0)
}

/// What a process has in memory now, in millions of bytes.
///
/// # Panics
/// When there is no such process.
pub fn resident_mb(pid: u32) -> f64 {
    status_kib(pid, "VmRSS:").unwrap_or_else(|| panic!("nobody tells what process {pid} has in memory")) * 1_024.0 / 1e6
}

fn status_kib(pid: u32, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The kind of the filesystem that holds a folder.
pub fn filesystem(folder: &Path) -> String {
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = text.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(place).then_some((place.len(), format!("{kind} on {device}")))
    });
    mounts.max_by_key(|(length, _)| *length).map_or_else(|| "unknown".to_owned(), |(_, filesystem)| filesystem)
}

/// How often a second the disk can append a little and sync it, one after the other.
pub fn syncs_per_second(folder: &Path, length: Duration) -> std::io::Result<f64> {
    let path = folder.join("syncs");
    let mut file = File::create(&path)?;
    let (begun, mut count) = (Instant::now(), 0.0);
    while begun.elapsed() < length {
        file.write_all(&[1; SYNCED_BYTES])?;
        file.sync_data()?;
        count += 1.0;
    }
    let rate = count / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
