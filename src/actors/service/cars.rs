//! Staff's part: the fleet. What the calendar must agree to is asked of the calendar first.

use super::{Result, Service, ask};
use crate::actors::api::{BlockView, CarView, ServiceError};
use crate::actors::fleet::enrolment;
use crate::domain::fleet::{self, Particulars};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::reservation::{self, Block};
use crate::store::journal::{ShardId, shard_of};
use crate::store::schema;

impl Service {
    /// Adds a car to the fleet.
    ///
    /// # Errors
    /// When it is already there, or the fleet is down.
    pub async fn register_car(&self, car_no: CarNo, particulars: Particulars) -> Result<CarView> {
        self.tell_ledger(car_no, fleet::Command::Register(particulars), "register").await
    }

    /// Adds a car to the fleet, or says something new of it.
    ///
    /// # Errors
    /// When it has left the fleet, or the fleet is down.
    pub async fn put_car(&self, car_no: CarNo, particulars: Particulars) -> Result<CarView> {
        self.tell_ledger(car_no, fleet::Command::Put(particulars), "put").await
    }

    /// Says something new of a car that the caller has seen at `revision`.
    ///
    /// # Errors
    /// When somebody else was faster, the car is not there any more, or the fleet is down.
    pub async fn amend_car(&self, car_no: CarNo, revision: u64, particulars: Particulars) -> Result<CarView> {
        self.tell_ledger(car_no, fleet::Command::Amend { revision, particulars }, "amend").await
    }

    async fn tell_ledger(&self, car_no: CarNo, command: fleet::Command, step: &str) -> Result<CarView> {
        let no = car_no.as_str();
        let car = ask(&self.parts.ledger, no, command, self.outside(step, no)).await?;
        let car = car.ok_or(fleet::Rejection::CarNotFound)?;
        // So that the car can be booked as soon as the caller knows of it; the policy does it otherwise.
        let enrol = reservation::Command::Enrol(enrolment(&car));
        if let Err(error) = ask(&self.parts.calendars, no, enrol, self.inside()).await {
            tracing::info!(%car_no, %error, "calendar will learn of the car later");
        }
        Ok(self.car_view(car_no, car))
    }

    /// Takes a car out of the fleet.
    ///
    /// # Errors
    /// When it has live bookings or does not exist, or the calendar is down.
    pub async fn retire_car(&self, car_no: CarNo) -> Result<()> {
        let no = car_no.as_str();
        ask(&self.parts.calendars, no, reservation::Command::Retire, self.outside("retire", no)).await?;
        if let Err(error) = ask(&self.parts.ledger, no, fleet::Command::Retire, self.inside()).await {
            tracing::info!(%car_no, %error, "ledger will learn of the retirement later");
        }
        Ok(())
    }

    /// Keeps a car from being booked for a period.
    ///
    /// # Errors
    /// When it is booked or blocked then or does not exist, or the calendar is down.
    pub async fn block_car(&self, car_no: CarNo, block_no: Option<BlockNo>, block: Block) -> Result<BlockView> {
        let block_no = match block_no {
            Some(block_no) => block_no,
            None => BlockNo::stored(&format!("b{}", uuid::Uuid::now_v7().simple())).map_err(super::reading::damaged)?,
        };
        let command = reservation::Command::Block { block_no: block_no.clone(), block: block.clone() };
        let no = car_no.as_str();
        ask(&self.parts.calendars, no, command, self.outside("block", no)).await?;
        self.ledger_shows(&car_no, |car| car.blocks.contains_key(&block_no)).await;
        Ok(BlockView { block_no, block })
    }

    /// Ends a block.
    ///
    /// # Errors
    /// When there is no such block, or the calendar is down.
    pub async fn unblock_car(&self, car_no: CarNo, block_no: BlockNo) -> Result<()> {
        let no = car_no.as_str();
        let command = reservation::Command::Unblock { block_no: block_no.clone() };
        ask(&self.parts.calendars, no, command, self.outside("unblock", no)).await?;
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
        // Past the wait the ledger follows by itself; the calendar has decided already.
        let _ = tokio::time::timeout(self.settings.view_wait, shown).await;
    }
}
