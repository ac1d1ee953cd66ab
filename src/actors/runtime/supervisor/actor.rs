//! The supervisor's actor: its messages and how it handles them.

use super::super::metric;
use super::board::ChildStatus;
use super::restart::{Decision, RestartHistory};
use super::{ChildSpec, ControlError, SupervisorSpec};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long the end of a killed child is waited for: it only has to reach its next await.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// The reply to a command of an operator.
pub type Done = oneshot::Sender<Result<(), ControlError>>;

/// The messages of a supervisor.
pub enum SupervisorMessage {
    /// Stop a child and leave it stopped.
    Stop {
        /// The name of the child.
        name: String,
        /// Sent once it has stopped.
        done: Done,
    },
    /// Kill a child; it is restarted after the shortest wait, and its end does not count as a failure.
    Kill {
        /// The name of the child.
        name: String,
        /// Sent once it has ended, or after a second.
        done: Done,
    },
    /// Start a child that was stopped or is down, and clear its restart history.
    Restart {
        /// The name of the child.
        name: String,
        /// Sent once it has been started.
        done: Done,
    },
    /// The wait before a restart is over.
    #[doc(hidden)]
    Start {
        /// The child's index.
        index: usize,
        /// Which of its waits; an outdated one is ignored.
        generation: u64,
    },
    /// Stop the children in reverse order, then end.
    Shutdown {
        /// When children that still run are killed.
        until: Instant,
        /// Sent once all have stopped.
        done: Option<oneshot::Sender<()>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Up,
    Restarting,
    Down { until: Instant },
    StoppedByOperator,
    Stopped,
}

struct Child {
    spec: ChildSpec,
    cell: Option<ActorCell>,
    phase: Phase,
    history: RestartHistory,
    generation: u64,
    restarts: u64,
    /// Whether an operator killed it, which does not count as a failure.
    killed: bool,
}

impl Child {
    fn new(spec: ChildSpec, history: RestartHistory) -> Self {
        Self { spec, cell: None, phase: Phase::Stopped, history, generation: 0, restarts: 0, killed: false }
    }

    fn restarts_total(&self) -> metrics::Counter {
        let (context, kind) = (self.spec.context.to_string(), self.spec.kind);
        metrics::counter!(metric::ACTOR_RESTARTS, "context" => context, "kind" => kind)
    }

    fn status(&self) -> ChildStatus {
        let detail = match self.phase {
            Phase::Up => "running".to_owned(),
            Phase::Restarting => "restarting".to_owned(),
            Phase::Down { until } => {
                let left_s = until.saturating_duration_since(Instant::now()).as_secs();
                format!("down after failing too often, tried again within {} s", left_s + 1)
            }
            Phase::StoppedByOperator => "stopped on request".to_owned(),
            Phase::Stopped => "stopped".to_owned(),
        };
        let (name, up) = (self.spec.name.clone(), self.phase == Phase::Up);
        ChildStatus { name, up, detail, restarts: self.restarts }
    }

    /// Stops it; kills it at `until`.
    async fn stop(&mut self, until: Instant) {
        self.generation += 1;
        self.killed = false;
        let Some(cell) = self.cell.take() else { return };
        (self.spec.stop)(&cell, until);
        if cell.wait(Some(until.saturating_duration_since(Instant::now()))).await.is_err() {
            tracing::warn!(context = %self.spec.context, child = %self.spec.name, "child killed at its stop deadline");
            cell.kill();
            drop(cell.wait(Some(KILL_WAIT)).await);
        }
    }
}

/// A one-for-one supervisor.
pub struct Supervisor;

/// The state of a [`Supervisor`].
pub struct SupervisorState {
    spec: SupervisorSpec,
    myself: ActorRef<SupervisorMessage>,
    children: Vec<Child>,
    stopping: bool,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = SupervisorSpec;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        mut spec: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let children = std::mem::take(&mut spec.children).into_iter();
        let children: Vec<Child> = children.map(|child| Child::new(child, RestartHistory::new(spec.limits))).collect();
        for child in &children {
            child.restarts_total().increment(0);
        }
        let mut state = SupervisorState { spec, myself, children, stopping: false };
        for index in 0..state.children.len() {
            state.start(index).await;
        }
        state.publish();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Stop { name, done } => drop(done.send(state.stop_child(&name).await)),
            SupervisorMessage::Kill { name, done } => drop(done.send(state.kill(&name).await)),
            SupervisorMessage::Restart { name, done } => drop(done.send(state.restart_child(&name).await)),
            SupervisorMessage::Start { index, generation } => state.due(index, generation).await,
            SupervisorMessage::Shutdown { until, done } => {
                state.shutdown(until).await;
                myself.stop(Some("shut down".to_owned()));
                if let Some(done) = done {
                    // A caller that has stopped waiting is ignored.
                    let _: Result<(), ()> = done.send(());
                }
            }
        }
        state.publish();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                state.ended(&who, reason.as_deref().unwrap_or("stopped"));
            }
            SupervisionEvent::ActorFailed(who, error) => state.ended(&who, &error.to_string()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        state.publish();
        Ok(())
    }
}

impl SupervisorState {
    fn publish(&self) {
        self.spec.board.set(self.children.iter().map(Child::status).collect());
    }

    fn find(&self, name: &str) -> Result<usize, ControlError> {
        let found = self.children.iter().position(|child| &*child.spec.name == name);
        found.ok_or_else(|| ControlError::Unknown(name.to_owned()))
    }

    fn stop_by(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.spec.limits.stop_ms_max)
    }

    async fn start(&mut self, index: usize) {
        let Some(child) = self.children.get_mut(index) else { return };
        if child.cell.is_some() {
            return;
        }
        match (child.spec.start)(self.myself.get_cell()).await {
            Ok(cell) => {
                child.cell = Some(cell);
                child.phase = Phase::Up;
            }
            Err(error) => self.schedule_restart(index, &error.to_string()),
        }
    }

    /// Handles the end of an actor; a child that was stopped on purpose is no longer registered.
    fn ended(&mut self, who: &ActorCell, reason: &str) {
        let ours = |child: &Child| child.cell.as_ref().is_some_and(|cell| cell.get_id() == who.get_id());
        if let Some(index) = self.children.iter().position(ours)
            && !self.stopping
        {
            self.schedule_restart(index, reason);
        }
    }

    /// Decides when a child that has ended is started again.
    fn schedule_restart(&mut self, index: usize, reason: &str) {
        let Some(child) = self.children.get_mut(index) else { return };
        let now = Instant::now();
        child.cell = None;
        child.generation += 1;
        let (context, name) = (child.spec.context.clone(), child.spec.name.clone());
        let killed = std::mem::take(&mut child.killed);
        let verdict = if killed { child.history.restart_uncounted() } else { child.history.failed(now) };
        let wait = match verdict {
            Decision::Restart(wait) => {
                child.phase = Phase::Restarting;
                tracing::warn!(%context, child = %name, reason, ?wait, "child restarting");
                wait
            }
            Decision::Down(wait) => {
                child.phase = Phase::Down { until: now + wait };
                tracing::error!(%context, child = %name, reason, ?wait, "child down");
                wait
            }
        };
        let generation = child.generation;
        self.myself.send_after(wait, move || SupervisorMessage::Start { index, generation });
    }

    /// Starts a child whose wait is over, unless an operator has intervened since.
    async fn due(&mut self, index: usize, generation: u64) {
        let Some(child) = self.children.get_mut(index) else { return };
        let waiting = matches!(child.phase, Phase::Restarting | Phase::Down { .. });
        if self.stopping || !waiting || child.generation != generation {
            return;
        }
        child.restarts += 1;
        child.restarts_total().increment(1);
        self.start(index).await;
    }

    async fn stop_child(&mut self, name: &str) -> Result<(), ControlError> {
        let (index, until) = (self.find(name)?, self.stop_by());
        if let Some(child) = self.children.get_mut(index) {
            child.phase = Phase::StoppedByOperator;
            child.stop(until).await;
            tracing::warn!(context = %child.spec.context, child = name, "child stopped on request");
        }
        Ok(())
    }

    async fn kill(&mut self, name: &str) -> Result<(), ControlError> {
        let index = self.find(name)?;
        let Some(child) = self.children.get_mut(index) else { return Ok(()) };
        if let Some(cell) = child.cell.clone() {
            child.killed = true;
            tracing::warn!(child = name, "child killed on request");
            cell.kill();
            // Its end arrives as a supervision event and leads to a restart.
            drop(cell.wait(Some(KILL_WAIT)).await);
        }
        Ok(())
    }

    async fn restart_child(&mut self, name: &str) -> Result<(), ControlError> {
        let index = self.find(name)?;
        let Some(child) = self.children.get_mut(index) else { return Ok(()) };
        child.history.reset();
        if child.cell.is_none() && !self.stopping {
            child.generation += 1;
            child.phase = Phase::Restarting;
            self.start(index).await;
        }
        Ok(())
    }

    async fn shutdown(&mut self, until: Instant) {
        self.stopping = true;
        for child in self.children.iter_mut().rev() {
            child.stop(until).await;
            child.phase = Phase::Stopped;
        }
    }
}
