//! Customers: their personal data is sealed before any actor sees it.

use super::reading::damaged;
use super::{Result, Service, ask};
use crate::actors::api::{CustomerView, PersonalData};
use crate::actors::customer::seal;
use crate::domain::customer::{Command, Customer, Rejection};
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::store::schema::customer::KEY_KIND;

impl Service {
    /// Keeps a customer's data.
    ///
    /// # Errors
    /// When the number is taken, or the customer context is down.
    pub async fn register_customer(&self, customer_no: Option<CustomerNo>, data: PersonalData) -> Result<CustomerView> {
        let customer_no = match customer_no {
            Some(customer_no) => customer_no,
            None => CustomerNo::stored(&format!("c{}", uuid::Uuid::now_v7().simple())).map_err(damaged)?,
        };
        let (sealed, key) = seal::seal(&customer_no, &data).map_err(damaged)?;
        let no = customer_no.as_str();
        let command = Command::Register { sealed, key };
        match ask(&self.parts.customers, no, command, self.outside("register", no)).await? {
            Some(Customer::Registered { at, .. }) => Ok(CustomerView { customer_no, registered_at: at, data }),
            Some(Customer::Erased { .. }) => Err(Rejection::CustomerErased.into()),
            None => Err(Rejection::CustomerNotFound.into()),
        }
    }

    /// Throws the key of a customer's data away; bookings and money stay accountable.
    ///
    /// # Errors
    /// When there is no such customer, or the customer context is down.
    pub async fn erase_customer(&self, customer_no: CustomerNo) -> Result<()> {
        let no = customer_no.as_str();
        ask(&self.parts.customers, no, Command::Erase, self.outside("erase", no)).await?;
        Ok(())
    }

    pub(super) async fn open(&self, customer_no: &CustomerNo, sealed: &[u8], at: Timestamp) -> Result<CustomerView> {
        let key = self.parts.journal.document(KEY_KIND, customer_no.as_str()).await?;
        // The key may have gone between the two reads.
        let key = key.ok_or(Rejection::CustomerErased)?;
        let data = seal::open(customer_no, sealed, &key).map_err(damaged)?;
        Ok(CustomerView { customer_no: customer_no.clone(), registered_at: at, data })
    }
}
