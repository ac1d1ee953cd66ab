//! Restate as an opponent: its server and our services for it (`benches/restate`), a process each, on loopback.
//!
//! Customers ask the server's ingress themselves. A front like [`crate::stack`] before it would cost Restate a hop that
//! nobody else has; the services read the same JSON and answer the same members, so nothing is lost but the status: an
//! ingress says 200 where rentcar says 201. The lean form is asked by the key of its object, the car, which spares it the
//! way through a service.
//!
//! What is to be said beside its figures: it is two processes that speak HTTP/2, it journals any code and can be a cluster.
//! rentcar is made for this one thing, and does more for each booking: read models, timers, policies.

use crate::common::client::Extra;
use crate::common::process::Process;
use crate::common::{Api, eventually};
use crate::results::locked_in;
use crate::service::given;
use crate::service::scene::Front;
use serde_json::json;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How it is set up, beside where it listens: one node that has every role and talks to nobody outside. That it syncs its log
/// before it acknowledges is its default; so many partitions were the best of those tried on two processors.
pub const SETTINGS: [(&str, &str); 5] = [
    ("RESTATE_DEFAULT_NUM_PARTITIONS", "4"),
    ("RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC", "false"),
    ("RESTATE_DISABLE_TELEMETRY", "true"),
    ("RESTATE_ADMIN__DISABLE_WEB_UI", "true"),
    ("RESTATE_LOG_FILTER", "warn"),
];
/// It goes on for so long with what customers have abandoned, which would be counted to the next case.
pub const DRAIN: Duration = Duration::from_secs(3);
/// The shortest case that says something of it; with [`MANY`] connections it needs [`CASE_OF_MANY`].
const CASE: Duration = Duration::from_secs(5);
const CASE_OF_MANY: Duration = Duration::from_secs(15);
const MANY: usize = 256;
/// How long a start may take.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// The programs that are looked for in the given folder.
const SERVER: &str = "restate-server";
const SERVICES: &str = "booking-on-restate";

/// In which form a booking is written for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A service asks an object for each entity.
    Full,
    /// One object does everything in its own state.
    Lean,
}

impl Form {
    /// Where customers ask, and how they are told that they have a booking.
    pub fn front(self) -> Front {
        let path = match self {
            Form::Full => |_: &str| "/Booking/reserve".to_owned(),
            Form::Lean => |car_no: &str| format!("/LeanCalendar/{car_no}/book"),
        };
        Front { path, confirmed: 200 }
    }
}

/// The folder of the programs, if one is given in `RENTCAR_BENCH_RESTATE`; `scripts/restate.sh` makes it.
pub fn programs() -> Option<PathBuf> {
    let folder = given::path("RESTATE")?;
    for program in [SERVER, SERVICES] {
        assert!(folder.join(program).exists(), "{program} is not in RENTCAR_BENCH_RESTATE: run scripts/restate.sh");
    }
    Some(folder)
}

/// How long a case has to be, if the others have so long.
pub fn case(connections: usize, length: Duration) -> Duration {
    length.max(if connections < MANY { CASE } else { CASE_OF_MANY })
}

/// What runs and how, in words.
pub fn described(programs: Option<&Path>) -> String {
    let Some(programs) = programs else { return "not given, so not measured".to_owned() };
    let settings: Vec<_> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let version = version(programs);
    format!(
        "{version}; {}; full: a service asks an object for each entity; lean: one object does it all; both ask a provider that \
         approves at once; customers ask the ingress; no closed case shorter than {CASE:?}, {CASE_OF_MANY:?} with {MANY} connections, and \
         {DRAIN:?} between cases; two processes that speak HTTP/2, made for any code and for clusters, while rentcar does more \
         for each booking: read models, timers, policies",
        settings.join(", ")
    )
}

fn version(programs: &Path) -> String {
    let said = Command::new(programs.join(SERVER)).arg("--version").output().unwrap();
    let lock = include_str!("../restate/Cargo.lock");
    let sdk = locked_in(lock, "restate-sdk").unwrap_or_else(|| "unknown".to_owned());
    format!("{}, restate-sdk {sdk}", String::from_utf8_lossy(&said.stdout).trim())
}

/// Server and services that run; they end when this is dropped.
pub struct Restate {
    // In the order in which they are to go.
    services: Process,
    server: Server,
    ingress: String,
    _data: TempDir,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Restate {
    /// Starts both on an empty store below a folder, and waits until bookings are taken.
    pub async fn start(programs: &Path, folder: &Path, log: PathBuf) -> Restate {
        let data = tempfile::tempdir_in(folder).unwrap();
        let [ingress, admin, fabric] = free_ports();
        let mut command = Command::new(programs.join(SERVER));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RESTATE_")) {
            command.env_remove(name);
        }
        command.envs(SETTINGS).arg("--no-logo").current_dir(data.path());
        command.args(["--listen-mode", "tcp", "--bind-ip", "127.0.0.1", "--advertised-host", "127.0.0.1"]);
        command.args(["--node-name", "bench", "--bind-port", &fabric.to_string(), "--base-dir"]).arg(data.path());
        command.env("RESTATE_INGRESS__BIND_PORT", ingress.to_string());
        command.env("RESTATE_ADMIN__BIND_PORT", admin.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server(command.spawn().unwrap());
        let services = Process::start(Command::new(programs.join(SERVICES)), log);
        let (ingress, admin) = (format!("127.0.0.1:{ingress}"), format!("127.0.0.1:{admin}"));
        let restate = Restate { services, server, ingress, _data: data };
        restate.register(&Api::at(&format!("http://{admin}"))).await;
        restate
    }

    async fn register(&self, admin: &Api) {
        let deployment = json!({ "uri": self.services.url() });
        eventually("Restate knows our services", READY_WITHIN, async || {
            status(admin, "/deployments", &deployment).await == Some(201)
        })
        .await;
        // Refused by our service itself, so that nothing is booked by it.
        let api = Api::at(&format!("http://{}", self.ingress));
        let moment = "2020-07-01T00:00:00Z";
        let means = json!({ "method": "CARD", "token": "none" });
        let nothing =
            json!({ "carNo": "nobody", "customerNo": "nobody", "from": moment, "to": moment, "payment": means });
        eventually("Restate takes calls", READY_WITHIN, async || {
            status(&api, "/Booking/reserve", &nothing).await == Some(400)
        })
        .await;
    }

    /// Where customers ask.
    pub fn address(&self) -> String {
        self.ingress.clone()
    }

    /// The server and the services.
    pub fn processes(&self) -> [u32; 2] {
        [self.server.0.id(), self.services.pid()]
    }
}

/// Of the answer to a document, if there is one.
async fn status(api: &Api, path: &str, document: &serde_json::Value) -> Option<u16> {
    let answer = api.try_send(reqwest::Method::POST, path, Some(document), Extra::default()).await;
    answer.ok().map(|answer| answer.status)
}

/// Ports that nobody listens on. Somebody may take one before it is used: then the start fails.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
