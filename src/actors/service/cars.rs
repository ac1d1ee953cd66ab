//! The fleet, for staff. Blocks and retirement are decided by the calendar, which alone knows what is booked.

use super::{Result, Service, ask};
use crate::actors::api::{BlockView, Caller, CarView, ServiceError};
use crate::actors::runtime::Ask;
use crate::domain::fleet::{self, CarData, Changes, Expected};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::process;
use crate::domain::reservation::{self, Block};
use crate::store::journal::{ShardId, shard_of};
use crate::store::schema;

impl Service {
    /// Adds a car to the fleet.
    ///
    /// # Errors
    /// When it is already there, or the fleet is down.
    pub async fn register_car(&self, caller: &Caller, car_no: CarNo, data: CarData) -> Result<CarView> {
        self.tell_ledger(caller, car_no, fleet::Command::Register(data), "register").await
    }

    /// Changes particulars of a car that is as the caller expects.
    ///
    /// # Errors
    /// When it is not as expected or not there any more, or the fleet is down.
    pub async fn amend_car(
        &self,
        caller: &Caller,
        car_no: CarNo,
        expected: Expected,
        changes: Changes,
    ) -> Result<CarView> {
        self.tell_ledger(caller, car_no, fleet::Command::Amend { expected, changes }, "amend").await
    }

    async fn tell_ledger(
        &self,
        caller: &Caller,
        car_no: CarNo,
        command: fleet::Command,
        step: &str,
    ) -> Result<CarView> {
        let no = car_no.as_str();
        let car = ask(&self.parts.ledger, no, command, self.external_ask(caller, step, no)).await?;
        let car = car.ok_or(fleet::Rejection::CarNotFound)?;
        // So that the car can be booked as soon as the caller knows of it; the policy does it otherwise.
        if let Some(enrol) = process::enrolment(&car, 0)
            && let Err(error) = ask(&self.parts.calendars, no, enrol, self.internal_ask()).await
        {
            tracing::info!(%car_no, %error, "calendar will learn of the car later");
        }
        Ok(self.car_view(car_no, car))
    }

    /// Asks the calendar to change a car, if the car is as the caller expects.
    ///
    /// The caller has seen the ledger's entry, so the ledger compares, at its own present; the calendar then refuses if
    /// it knows a later revision. Two changes may slip between: an amendment that has not reached the calendar yet, and
    /// another status, such as that of a rental that begins or ends at that moment.
    async fn ask_calendar(
        &self,
        caller: &Caller,
        car_no: &CarNo,
        command: reservation::Command,
        step: &str,
        expected: Option<Expected>,
    ) -> Result<()> {
        let no = car_no.as_str();
        let question = self.external_ask(caller, step, no);
        let command = match expected {
            // A command that was carried out under this id has changed the car itself: it gets its recorded answer.
            Some(expected) if !self.is_done(&question).await? => {
                let check = fleet::Command::Check(expected);
                let seen = ask(&self.parts.ledger, no, check, Ask::external(self.settings.request_timeout)).await?;
                let revision = seen.ok_or(fleet::Rejection::CarNotFound)?.revision;
                reservation::Command::IfVersion { revision, command: Box::new(command) }
            }
            Some(_) | None => command,
        };
        ask(&self.parts.calendars, no, command, question).await?;
        Ok(())
    }

    /// Whether a command with this id has been carried out.
    async fn is_done(&self, question: &Ask) -> Result<bool> {
        match &question.command_id {
            Some(name) => Ok(self.command_record(&name.id).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Takes a car out of the fleet.
    ///
    /// # Errors
    /// When it has live bookings, is not as expected or does not exist, or the calendar is down; with an expectation also
    /// when the fleet is down.
    pub async fn retire_car(&self, caller: &Caller, car_no: CarNo, expected: Option<Expected>) -> Result<()> {
        self.ask_calendar(caller, &car_no, reservation::Command::Retire, "retire", expected).await?;
        if let Some(retire) = process::ledger_step(&reservation::Event::Retired)
            && let Err(error) = ask(&self.parts.ledger, car_no.as_str(), retire, self.internal_ask()).await
        {
            tracing::info!(%car_no, %error, "ledger will learn of the retirement later");
        }
        Ok(())
    }

    /// Keeps a car from being booked for a period.
    ///
    /// # Errors
    /// When it is booked or blocked then, is not as expected or does not exist, or the calendar is down; with an
    /// expectation also when the fleet is down.
    pub async fn block_car(
        &self,
        caller: &Caller,
        car_no: CarNo,
        block_no: Option<BlockNo>,
        block: Block,
        expected: Option<Expected>,
    ) -> Result<BlockView> {
        let block_no = match block_no {
            Some(block_no) => block_no,
            None => BlockNo::stored(&format!("b{}", uuid::Uuid::now_v7().simple())).map_err(super::reading::damaged)?,
        };
        let command = reservation::Command::Block { block_no: block_no.clone(), block: block.clone() };
        self.ask_calendar(caller, &car_no, command, "block", expected).await?;
        self.ledger_shows(&car_no, |car| car.blocks.contains_key(&block_no)).await;
        Ok(BlockView { block_no, block })
    }

    /// Ends a block.
    ///
    /// # Errors
    /// When there is no such block, the car is not as expected, or the calendar is down; with an expectation also when the
    /// fleet is down.
    pub async fn unblock_car(
        &self,
        caller: &Caller,
        car_no: CarNo,
        block_no: BlockNo,
        expected: Option<Expected>,
    ) -> Result<()> {
        let command = reservation::Command::Unblock { block_no: block_no.clone() };
        self.ask_calendar(caller, &car_no, command, "unblock", expected).await?;
        self.ledger_shows(&car_no, |car| !car.blocks.contains_key(&block_no)).await;
        Ok(())
    }

    /// Waits a moment for the ledger to follow the calendar, so that staff see what they did.
    async fn ledger_shows(&self, car_no: &CarNo, wanted: impl Fn(&fleet::Car) -> bool) {
        let journal = &self.parts.journal;
        let number = shard_of(car_no.as_str(), journal.shard_count(schema::FLEET));
        let mut head = journal.watch(ShardId { context: schema::FLEET, number });
        let shown = async {
            loop {
                head.borrow_and_update();
                match self.committed_car(car_no).await {
                    Ok(Some(car)) if wanted(&car) => return,
                    Ok(_) => {}
                    Err(ServiceError::Read(error)) => {
                        tracing::warn!(%car_no, %error, "ledger cannot be read");
                        return;
                    }
                    Err(_) => return,
                }
                if head.changed().await.is_err() {
                    return;
                }
            }
        };
        // The calendar has decided; after the wait the ledger follows by its policy.
        let _ = tokio::time::timeout(self.settings.view_freshness_wait, shown).await;
    }
}
