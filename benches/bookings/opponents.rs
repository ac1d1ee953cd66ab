//! Who takes bookings, each as a process of its own, started anew for every round.

use crate::common::process::{Process, rentcar};
use crate::common::{Api, SOON, car, eventually, in_days, path};
use crate::conventional::{Conventional, Style};
use crate::postgres::{Cluster, Database};
use crate::scene::car_no;
use crate::stack::{self, Echo};
use futures_util::StreamExt;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The first argument of a process that is an opponent.
pub const AS_OPPONENT: &str = "opponent";
/// How many connections of PostgreSQL the conventional service shares, unless `RENTCAR_BENCH_POOL` says otherwise.
pub const POOL_CONNECTIONS: usize = 32;
/// What differs from the settings as they come: the sandbox can take any number of charges, so that its guard must not be
/// what is measured, and a log line for each booking is none that an operator would keep.
pub const SETTINGS: [(&str, &str); 5] = [
    ("RENTCAR__LOG__FILTER", "warn"),
    ("RENTCAR__PAYMENT__BULKHEAD__CONCURRENCY_MAX", "64"),
    ("RENTCAR__PAYMENT__BULKHEAD__ADAPTIVE__ENABLED", "false"),
    ("RENTCAR__PAYMENT__BULKHEAD__QUEUE_LEN_MAX", "512"),
    ("RENTCAR__PAYMENT__BULKHEAD__QUEUE_WAIT_MS_MAX", "2000"),
];
/// How many register cars at the same time.
const REGISTRARS: usize = 16;
/// How many cars are looked at before all are known to be in the calendars: enough for every shard to have one of them.
const LAST_CARS: usize = 100;

/// One of those who are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opponent {
    /// The real program.
    Rentcar,
    /// The conventional service, a transaction of three statements.
    Transaction,
    /// The conventional service, everything in one statement.
    OneStatement,
    /// The HTTP stack and nothing behind it.
    Echo,
}

impl Opponent {
    /// In the order in which they take turns.
    pub const ALL: [Opponent; 4] = [Opponent::Rentcar, Opponent::Transaction, Opponent::OneStatement, Opponent::Echo];

    /// As the figures call it.
    pub fn name(self) -> &'static str {
        match self {
            Opponent::Rentcar => "rentcar",
            Opponent::Transaction => "conventional",
            Opponent::OneStatement => "conventional, one statement",
            Opponent::Echo => "echo",
        }
    }

    /// How it writes, if it is a conventional service.
    pub fn style(self) -> Option<Style> {
        match self {
            Opponent::Transaction => Some(Style::Transaction),
            Opponent::OneStatement => Some(Style::OneStatement),
            Opponent::Rentcar | Opponent::Echo => None,
        }
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
}

/// A server that takes bookings; it ends when this is dropped.
pub struct Running {
    // In the order in which they are to go.
    process: Process,
    database: Option<Database>,
    _data: Option<TempDir>,
}

impl Grounds {
    /// Makes them below a folder.
    pub async fn prepare(folder: &Path, cars: usize) -> Grounds {
        let grounds = Grounds { cars, folder: folder.to_owned(), cluster: Cluster::make(folder) };
        let mut server = grounds.serve(&grounds.registered());
        let api = Api::at(server.url());
        let register = async |at| drop(api.post("/v1/cars", &car(&car_no(at))).await.expect(201));
        futures_util::stream::iter(0..cars).map(register).buffer_unordered(REGISTRARS).collect::<()>().await;
        for at in cars.saturating_sub(LAST_CARS)..cars {
            // The calendars of a shard hear of its cars in order; days before those that are booked.
            let block = json!({"from": in_days(1), "to": in_days(2), "reason": "a look at the calendar"});
            let address = path("/v1/cars/{}/blocks", &car_no(at));
            eventually("a calendar has heard of its car", SOON, async || {
                api.post(&address, &block).await.status == 201
            })
            .await;
        }
        assert!(server.signal("TERM").success(), "the server of the preparation did not end well");
        grounds
    }

    /// Starts an opponent on grounds that nobody has used; nothing where what it needs is not installed.
    pub fn start(&self, opponent: Opponent) -> Option<Running> {
        if opponent == Opponent::Rentcar {
            let data = tempfile::tempdir_in(&self.folder).unwrap();
            let copied = Command::new("cp").arg("-r").arg(self.registered().join(".")).arg(data.path()).status();
            assert!(copied.unwrap().success(), "the registered cars cannot be copied");
            return Some(Running { process: self.serve(data.path()), database: None, _data: Some(data) });
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([AS_OPPONENT, opponent.name(), &self.cars.to_string()]);
        let mut database = None;
        if opponent.style().is_some() {
            let started = self.cluster.as_ref()?.start();
            command.arg(started.socket());
            database = Some(started);
        }
        Some(Running { process: Process::start(command, self.log()), database, _data: None })
    }

    fn serve(&self, data: &Path) -> Process {
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.envs(SETTINGS).current_dir(&self.folder);
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
    /// Host and port.
    pub fn address(&self) -> String {
        self.process.url().trim_start_matches("http://").to_owned()
    }

    /// Its processes, without their children.
    pub fn processes(&self) -> Vec<u32> {
        let database = self.database.as_ref().map(Database::pid);
        std::iter::once(self.process.pid()).chain(database).collect()
    }

    /// How often it has synced its journal, if it tells.
    pub async fn syncs(&self) -> Option<f64> {
        let metrics = Api::at(self.process.url()).get("/metrics").await;
        let line = metrics.text.lines().find_map(|line| line.strip_prefix("rentcar_journal_fsync_seconds_count "));
        line?.trim().parse().ok()
    }
}

/// Is an opponent, if the arguments of this process say so: the name, the cars, and the folder of PostgreSQL's socket.
pub async fn be(arguments: &[String]) {
    let opponent = Opponent::named(&arguments[0]).unwrap();
    let cars = arguments[1].parse().unwrap();
    match opponent.style() {
        Some(style) => {
            let socket = Path::new(&arguments[2]);
            stack::run(Conventional::prepare(socket, style, pool_connections(), cars).await).await;
        }
        None => stack::run(Echo).await,
    }
}

/// How many connections of PostgreSQL there are in this run.
pub fn pool_connections() -> usize {
    std::env::var("RENTCAR_BENCH_POOL").map_or(POOL_CONNECTIONS, |text| text.parse().unwrap())
}
