//! Who takes bookings, each as a process of its own, started again for every round.

use crate::common::Api;
use crate::common::process::Process;
use crate::conventional::{Conventional, Style};
use crate::postgres::{Cluster, Database};
use crate::restate::{self, Form, Restate};
use crate::same_promises::SamePromises;
use crate::service::scene::Front;
use crate::service::server::{self, Server};
use crate::service::{RENTCAR, fleet, given};
use crate::stack::{self, Echo};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The first argument of a process that is an opponent.
pub const AS_OPPONENT: &str = "opponent";
/// How many connections of PostgreSQL the conventional service shares, unless `RENTCAR_BENCH_POOL` says otherwise.
pub const POOL_CONNECTIONS: usize = 32;
/// One of those who are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opponent {
    /// The real program.
    Rentcar,
    /// The same of an earlier commit, where [`earlier`] names one.
    Earlier,
    /// The conventional service, a transaction of three statements.
    Transaction,
    /// The conventional service, everything in one statement.
    OneStatement,
    /// The conventional service that asks a provider and keeps what rentcar promises.
    SamePromises,
    /// Restate, an object for each entity.
    RestateFull,
    /// Restate, one object that does it all.
    RestateLean,
    /// The HTTP stack and nothing behind it.
    Echo,
}

impl Opponent {
    /// In the order in which they take turns.
    pub const ALL: [Opponent; 8] = [
        Opponent::Rentcar,
        Opponent::Earlier,
        Opponent::Transaction,
        Opponent::OneStatement,
        Opponent::SamePromises,
        Opponent::RestateFull,
        Opponent::RestateLean,
        Opponent::Echo,
    ];

    /// As the figures call it.
    pub fn name(self) -> &'static str {
        match self {
            Opponent::Rentcar => RENTCAR,
            Opponent::Earlier => "rentcar, earlier",
            Opponent::Transaction => "conventional",
            Opponent::OneStatement => "conventional, one statement",
            Opponent::SamePromises => "conventional, same promises",
            Opponent::RestateFull => "Restate, full",
            Opponent::RestateLean => "Restate, lean",
            Opponent::Echo => "echo",
        }
    }

    fn needs_postgresql(self) -> bool {
        matches!(self, Opponent::Transaction | Opponent::OneStatement | Opponent::SamePromises)
    }

    /// In which form Restate is it, if it is.
    pub fn restate(self) -> Option<Form> {
        match self {
            Opponent::RestateFull => Some(Form::Full),
            Opponent::RestateLean => Some(Form::Lean),
            Opponent::Rentcar
            | Opponent::Earlier
            | Opponent::Transaction
            | Opponent::OneStatement
            | Opponent::SamePromises
            | Opponent::Echo => None,
        }
    }

    /// Where its customers ask.
    pub fn front(self) -> Front {
        self.restate().map_or(Front::OURS, Form::front)
    }

    /// The opponent of a name that [`Opponent::name`] gave.
    pub fn named(name: &str) -> Option<Opponent> {
        Opponent::ALL.into_iter().find(|opponent| opponent.name() == name)
    }
}

/// What is made once: a store with the registered cars, and an empty PostgreSQL where there is one.
pub struct Grounds {
    cars: usize,
    folder: PathBuf,
    /// Nothing where PostgreSQL is not installed.
    pub cluster: Option<Cluster>,
    /// Where the programs of Restate are, if they are anywhere.
    pub restate: Option<PathBuf>,
}

/// A server that takes bookings; it ends when this is dropped.
pub enum Running {
    /// A process of ours.
    Ours {
        // In the order in which they are to go.
        process: Process,
        database: Option<Database>,
        _data: Option<TempDir>,
    },
    /// Two processes.
    Restate(Restate),
}

impl Grounds {
    /// Makes them below a folder.
    pub async fn prepare(folder: &Path, cars: usize) -> Grounds {
        let (folder, cluster) = (folder.to_owned(), Cluster::make(folder));
        let grounds = Grounds { cars, folder, cluster, restate: restate::programs() };
        let server = Server::start(&grounds.registered()).await;
        fleet::register(&server, cars).await;
        server.end();
        grounds
    }

    /// Starts an opponent on grounds that nobody has used; nothing where what it needs is not installed.
    pub async fn start(&self, opponent: Opponent) -> Option<Running> {
        if opponent.restate().is_some() {
            let restate = Restate::start(self.restate.as_ref()?, &self.folder, self.log()).await;
            return Some(Running::Restate(restate));
        }
        if let Opponent::Rentcar | Opponent::Earlier = opponent {
            let program = if opponent == Opponent::Earlier { Some(earlier()?) } else { None };
            let data = tempfile::tempdir_in(&self.folder).unwrap();
            server::copy(&self.registered().join("."), data.path());
            let process = self.serve(program.as_deref(), data.path());
            return Some(Running::Ours { process, database: None, _data: Some(data) });
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([AS_OPPONENT, opponent.name(), &self.cars.to_string()]);
        let mut database = None;
        if opponent.needs_postgresql() {
            let started = self.cluster.as_ref()?.start();
            command.arg(started.socket());
            database = Some(started);
        }
        Some(Running::Ours { process: Process::start(command, self.log()), database, _data: None })
    }

    fn serve(&self, program: Option<&Path>, data: &Path) -> Process {
        let mut command = server::command_of(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).current_dir(&self.folder);
        Process::start(command, self.log())
    }

    fn registered(&self) -> PathBuf {
        self.folder.join("registered")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Running {
    pub fn address(&self) -> String {
        match self {
            Running::Ours { process, .. } => process.url().trim_start_matches("http://").to_owned(),
            Running::Restate(restate) => restate.address(),
        }
    }

    /// Its processes, without their children.
    pub fn processes(&self) -> Vec<u32> {
        let mut processes = self.without_postgresql();
        if let Running::Ours { database: Some(database), .. } = self {
            processes.push(database.pid());
        }
        processes
    }

    /// The same but for the database.
    pub fn without_postgresql(&self) -> Vec<u32> {
        match self {
            Running::Ours { process, .. } => vec![process.pid()],
            Running::Restate(restate) => restate.processes().to_vec(),
        }
    }

    /// How often it has synced its journal, if it tells.
    pub async fn syncs(&self) -> Option<f64> {
        let Running::Ours { process, .. } = self else { return None };
        let metrics = Api::at(process.url()).get("/metrics").await;
        let line =
            metrics.text.lines().find_map(|line| line.strip_prefix("rentcar_journal_fsync_duration_seconds_count "));
        line?.trim().parse().ok()
    }
}

/// Is an opponent, if the arguments of this process say so: the name, the cars, and the folder of PostgreSQL's socket.
pub async fn be(arguments: &[String]) {
    let opponent = Opponent::named(&arguments[0]).unwrap();
    let cars = arguments[1].parse().unwrap();
    let socket = arguments.get(2).map_or(Path::new(""), Path::new);
    let conventional = |style| Conventional::prepare(socket, style, pool_connections(), cars);
    match opponent {
        Opponent::Transaction => stack::run(conventional(Style::Transaction).await).await,
        Opponent::OneStatement => stack::run(conventional(Style::OneStatement).await).await,
        Opponent::SamePromises => stack::run(SamePromises::prepare(socket, pool_connections(), cars).await).await,
        Opponent::Echo => stack::run(Echo).await,
        Opponent::Rentcar | Opponent::Earlier | Opponent::RestateFull | Opponent::RestateLean => {
            panic!("{} is a program of its own", opponent.name())
        }
    }
}

/// The program of an earlier commit to measure beside the present one, as `RENTCAR_BENCH_EARLIER` names it.
fn earlier() -> Option<PathBuf> {
    given::path("EARLIER")
}

/// How many connections of PostgreSQL there are in this run.
pub fn pool_connections() -> usize {
    given::count("POOL", POOL_CONNECTIONS)
}
