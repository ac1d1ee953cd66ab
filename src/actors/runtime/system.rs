//! The system: a root supervisor over parts that are started in order and stopped in reverse order. The process lives on
//! whatever happens to a part; health reports the parts that are down.

use super::followed::{Followed, SubscriptionStatus};
use super::limits::RestartLimits;
use super::supervisor::{ChildSpec, ControlError, StatusBoard, Supervisor, SupervisorMessage, SupervisorSpec};
use super::watch::{Stuck, Watch};
use super::watchdog::Watchdog;
use ractor::{Actor, ActorRef, SpawnErr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The timeout of a command of an operator.
const CONTROL_WAIT: Duration = Duration::from_secs(10);

/// The health of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The name of the part.
    pub name: String,
    /// Whether the part works.
    pub up: bool,
    /// For people.
    pub detail: String,
}

/// A supervised part of the system that reports its own health.
pub struct Part {
    /// Starts and stops the part.
    pub child: ChildSpec,
    /// Called only while the part runs.
    pub health: Arc<dyn Fn() -> Component + Send + Sync>,
    /// Watched for stuck handlers.
    pub watches: Vec<Arc<Watch>>,
    /// What it follows, whether it runs or not.
    pub followed: Vec<Arc<Followed>>,
}

impl Part {
    /// A part that is healthy whenever it runs.
    pub fn simple(child: ChildSpec) -> Self {
        let name = child.name.to_string();
        let health = move || Component { name: name.clone(), up: true, detail: "running".to_owned() };
        Self { child, health: Arc::new(health), watches: Vec::new(), followed: Vec::new() }
    }
}

/// Stops, starts and kills parts of a running system, for maintenance and fault injection. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    root: ActorRef<SupervisorMessage>,
}

impl Control {
    /// Kills a part; the supervisor restarts it.
    ///
    /// # Errors
    /// When there is no such part, or the system has ended.
    pub async fn kill(&self, name: &str) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.tell(|done| SupervisorMessage::Kill { name, done }).await
    }

    /// Stops a part until it is started again.
    ///
    /// # Errors
    /// When there is no such part, or the system has ended.
    pub async fn stop(&self, name: &str) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.tell(|done| SupervisorMessage::Stop { name, done }).await
    }

    /// Starts a part that is stopped or down.
    ///
    /// # Errors
    /// When there is no such part, or the system has ended.
    pub async fn start(&self, name: &str) -> Result<(), ControlError> {
        let name = name.to_owned();
        self.tell(|done| SupervisorMessage::Restart { name, done }).await
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
    board: Arc<StatusBoard>,
    health: Health,
    followed: Vec<Arc<Followed>>,
    watchdog: Watchdog,
}

impl System {
    /// Starts the parts in this order. A part that cannot be started is retried, like one that has failed.
    ///
    /// # Errors
    /// When the root supervisor cannot be started.
    pub async fn start(parts: Vec<Part>) -> Result<Self, SpawnErr> {
        Self::start_with(parts, RestartLimits::default()).await
    }

    /// Like [`start`](Self::start), with other limits for the restarts of whole parts.
    ///
    /// # Errors
    /// When the root supervisor cannot be started.
    pub async fn start_with(parts: Vec<Part>, limits: RestartLimits) -> Result<Self, SpawnErr> {
        let board = Arc::new(StatusBoard::default());
        let health = parts.iter().map(|part| (Arc::clone(&part.child.name), Arc::clone(&part.health))).collect();
        let watches = parts.iter().flat_map(|part| part.watches.iter().cloned()).collect();
        let followed: Vec<_> = parts.iter().flat_map(|part| part.followed.iter().cloned()).collect();
        let watchdog = Watchdog::start(watches, followed.clone());
        let children = parts.into_iter().map(|part| part.child).collect();
        let spec = SupervisorSpec { children, limits, board: Arc::clone(&board) };
        let (root, _) = Supervisor::spawn(None, Supervisor, spec).await?;
        Ok(Self { root, board, health, followed, watchdog })
    }

    /// The health of every part, in the order of their start; one that does not run is down with the reason.
    pub fn health(&self) -> Vec<Component> {
        let component =
            |(name, health): &(Arc<str>, Arc<dyn Fn() -> Component + Send + Sync>)| match self.board.child(name) {
                Some(child) if child.up => health(),
                Some(child) => Component { name: name.to_string(), up: false, detail: child.detail },
                None => Component { name: name.to_string(), up: false, detail: "unknown".to_owned() },
            };
        self.health.iter().map(component).collect()
    }

    /// How every subscription is doing, in the order of their parts.
    pub fn subscriptions(&self) -> Vec<SubscriptionStatus> {
        self.followed.iter().map(|followed| followed.status()).collect()
    }

    /// Whether tokio's workers make progress: `false` when the runtime is stalled.
    pub fn is_responsive(&self) -> bool {
        self.watchdog.is_responsive()
    }

    /// The stuck handlers of all parts.
    pub fn stuck(&self) -> Vec<Stuck> {
        self.watchdog.stuck()
    }

    /// A handle to stop, start and kill parts.
    pub fn control(&self) -> Control {
        Control { root: self.root.clone() }
    }

    /// Drains and stops all parts in reverse order; what still runs after `deadline` is killed. Returns whether everything ended
    /// in time.
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
