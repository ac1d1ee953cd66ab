//! The contexts as the replay sees them: how events are decoded and folded, and what is checked of one entity. Pure
//! except for reading documents of other contexts.

use super::{Replay, Stop, cross_context};
use crate::domain::{CorruptHistory, account, customer, fleet, operations, payment, rental, reservation};
use crate::store::codec::CodecError;
use crate::store::journal::Context;
use crate::store::schema::{self, StateError};
use bytes::Bytes;

pub(super) trait ReplayedEntity {
    const CONTEXT: Context;
    const STATE_KIND: &'static str;
    type State: Default + Clone + PartialEq;
    type Event;

    fn decode(tag: &str, payload: &[u8]) -> Result<Self::Event, CodecError>;
    fn evolve(state: Self::State, event: &Self::Event) -> Result<Self::State, CorruptHistory>;
    fn encode_state(state: &Self::State) -> Result<Bytes, CodecError>;
    fn decode_state(body: &[u8]) -> Result<Self::State, StateError>;
    async fn check(walk: &mut Replay<'_>, key: &str, state: &Self::State) -> Result<(), Stop>;
}

macro_rules! replayed_entity {
    ($name:ident, $module:ident, $context:ident, $check:path) => {
        pub(super) struct $name;

        impl ReplayedEntity for $name {
            const CONTEXT: Context = schema::$context;
            const STATE_KIND: &'static str = schema::$module::STATE_KIND;
            type State = $module::State;
            type Event = $module::Event;

            fn decode(tag: &str, payload: &[u8]) -> Result<Self::Event, CodecError> {
                schema::$module::decode(tag, payload)
            }

            fn evolve(state: Self::State, event: &Self::Event) -> Result<Self::State, CorruptHistory> {
                $module::evolve(state, event)
            }

            fn encode_state(state: &Self::State) -> Result<Bytes, CodecError> {
                schema::$module::encode_state(state)
            }

            fn decode_state(body: &[u8]) -> Result<Self::State, StateError> {
                schema::$module::decode_state(body)
            }

            async fn check(walk: &mut Replay<'_>, key: &str, state: &Self::State) -> Result<(), Stop> {
                $check(walk, key, state).await
            }
        }
    };
}

replayed_entity!(Calendar, reservation, RESERVATION, cross_context::calendar);
replayed_entity!(Payment, payment, PAYMENT, cross_context::payment);
replayed_entity!(Rental, rental, RENTAL, cross_context::rental);
replayed_entity!(Car, fleet, FLEET, cross_context::car);
replayed_entity!(Customer, customer, CUSTOMER, cross_context::customer);
replayed_entity!(Operations, operations, OPERATIONS, cross_context::operations);
replayed_entity!(Account, account, ACCOUNT, cross_context::account);
