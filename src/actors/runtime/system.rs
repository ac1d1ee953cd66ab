//! The whole: a root supervisor over parts that are started in order and stopped in the reverse order. The
//! process lives whatever happens to them; what is down says so here.

use super::limits::RestartLimits;
use super::supervisor::{Board, ChildSpec, ControlError, Supervisor, SupervisorMessage, SupervisorSpec};
use super::watch::{Stuck, Watch};
use super::watchdog::Watchdog;
use ractor::{Actor, ActorRef, SpawnErr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long an intervention may take to be answered.
const CONTROL_WAIT: Duration = Duration::from_secs(10);

/// What health says about one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The part's name.
    pub name: String,
    /// Whether it does what it is there for.
    pub up: bool,
    /// More about it, for people.
    pub detail: String,
}

/// A supervised part of the system with its own word on its health.
pub struct Part {
    /// How it is started and stopped.
    pub child: ChildSpec,
    /// What it says about its health while it runs.
    pub health: Arc<dyn Fn() -> Component + Send + Sync>,
    /// What its handlers have under way.
    pub watches: Vec<Arc<Watch>>,
    /// Called again and again, whether the part runs or not, to set metrics that nothing else would set.
    pub gauges: Vec<Arc<dyn Fn() + Send + Sync>>,
}

impl Part {
    /// A part that is well whenever it runs.
    pub fn simple(child: ChildSpec) -> Self {
        let name = child.name.to_string();
        let health = move || Component { name: name.clone(), up: true, detail: "running".to_owned() };
        Self { child, health: Arc::new(health), watches: Vec::new(), gauges: Vec::new() }
    }
}

/// Intervenes in the running system, for maintenance and for fault injection. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    root: ActorRef<SupervisorMessage>,
}

impl Control {
    /// Kills a part; supervision brings it back.
    ///
    /// # Errors
    /// When there is no such part, or the system has ended.
    pub async fn kill(&self, name: &str) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.tell(|done| SupervisorMessage::Kill { name, done }).await
    }

    /// Stops a part and keeps it stopped until it is started.
    ///
    /// # Errors
    /// When there is no such part, or the system has ended.
    pub async fn stop(&self, name: &str) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.tell(|done| SupervisorMessage::Hold { name, done }).await
    }

    /// Starts a part that is stopped or down.
    ///
    /// # Errors
    /// When there is no such part, or the system has ended.
    pub async fn start(&self, name: &str) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.tell(|done| SupervisorMessage::Resume { name, done }).await
    }

    async fn tell(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<(), ControlError>>) -> SupervisorMessage,
    ) -> Result<(), ControlError> {
        let (done, told) = oneshot::channel();
        self.root.send_message(message(done)).map_err(|_| ControlError::Gone)?;
        match tokio::time::timeout(CONTROL_WAIT, told).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(ControlError::Gone),
        }
    }
}

type Health = Vec<(Arc<str>, Arc<dyn Fn() -> Component + Send + Sync>)>;

/// A running system.
pub struct System {
    root: ActorRef<SupervisorMessage>,
    board: Arc<Board>,
    health: Health,
    watchdog: Watchdog,
}

impl System {
    /// Starts the parts in this order. A part that cannot be started is tried again, like one that has failed.
    ///
    /// # Errors
    /// When not even the root can be started.
    pub async fn start(parts: Vec<Part>) -> Result<Self, SpawnErr> {
        Self::start_with(parts, RestartLimits::default()).await
    }

    /// The same with other bounds for restarting whole parts.
    ///
    /// # Errors
    /// When not even the root can be started.
    pub async fn start_with(parts: Vec<Part>, limits: RestartLimits) -> Result<Self, SpawnErr> {
        let board = Arc::new(Board::default());
        let health = parts.iter().map(|part| (Arc::clone(&part.child.name), Arc::clone(&part.health))).collect();
        let watches = parts.iter().flat_map(|part| part.watches.iter().cloned()).collect();
        let watchdog = Watchdog::start(watches, parts.iter().flat_map(|part| part.gauges.iter().cloned()).collect());
        let children = parts.into_iter().map(|part| part.child).collect();
        let spec = SupervisorSpec { children, limits, board: Arc::clone(&board) };
        let (root, _) = Supervisor::spawn(None, Supervisor, spec).await?;
        Ok(Self { root, board, health, watchdog })
    }

    /// What every part says, or why it does not run, in the order in which they were given.
    pub fn health(&self) -> Vec<Component> {
        let component =
            |(name, health): &(Arc<str>, Arc<dyn Fn() -> Component + Send + Sync>)| match self.board.child(name) {
                Some(child) if child.up => health(),
                Some(child) => Component { name: name.to_string(), up: false, detail: child.detail },
                None => Component { name: name.to_string(), up: false, detail: "unknown".to_owned() },
            };
        self.health.iter().map(component).collect()
    }

    /// Whether the asynchronous runtime turns: work that is due is begun.
    pub fn turns(&self) -> bool {
        self.watchdog.turns()
    }

    /// What has been under way for too long, whoever does it.
    pub fn stuck(&self) -> Vec<Stuck> {
        self.watchdog.stuck()
    }

    /// The way to intervene.
    pub fn control(&self) -> Control {
        Control { root: self.root.clone() }
    }

    /// Stops everything in reverse order, letting each part finish what it has; what still runs after `deadline`
    /// is killed. Answers whether everything ended in time.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let (done, told) = oneshot::channel();
        let asked = self.root.send_message(SupervisorMessage::Shutdown { until, done: Some(done) });
        let ended = asked.is_ok() && tokio::time::timeout_at(until, told).await.is_ok_and(|told| told.is_ok());
        if !ended {
            tracing::warn!("system killed after its deadline");
            self.root.kill();
        }
        drop(self.root.wait(Some(Duration::from_secs(1))).await);
        ended
    }
}
