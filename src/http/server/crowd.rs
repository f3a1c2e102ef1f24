//! The connections there are: how many, from whom, and which one must go when there are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connection::State;

/// All connections of a server.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    most_of_an_address: usize,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    states: HashMap<u64, Arc<State>>,
    of_address: HashMap<IpAddr, usize>,
}

/// A place among the connections; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    address: IpAddr,
}

impl Crowd {
    /// At most so many, and so many of one address.
    pub(super) fn new(most: usize, most_of_an_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_an_address,
            members: Mutex::default(),
        })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more. If there is none, the connection that has been idle longest has to go; `None` if
    /// none is, or if this address has as many as it may.
    pub(super) fn join(self: &Arc<Self>, address: IpAddr, state: &Arc<State>) -> Option<Place> {
        let mut members = self.members();
        let of_address = members.of_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.most_of_an_address {
            return None;
        }
        if members.states.len() >= self.most {
            let idle = members
                .states
                .iter()
                .filter_map(|(number, state)| Some((state.idle_since()?, *number)));
            let (_, longest) = idle.min()?;
            if let Some(state) = members.states.remove(&longest) {
                state.evict();
            }
        }
        let number = members.next;
        members.next += 1;
        members.states.insert(number, Arc::clone(state));
        *members.of_address.entry(address).or_default() += 1;
        Some(Place {
            crowd: Arc::clone(self),
            number,
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members();
        members.states.remove(&self.number);
        if let Some(count) = members.of_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                members.of_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::connection::Deadlines;
    use super::*;

    fn state() -> Arc<State> {
        State::new(Deadlines {
            head: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            write: Duration::from_secs(1),
        })
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[tokio::test]
    async fn who_is_idle_longest_makes_room_and_who_works_stays() {
        let crowd = Crowd::new(2, 10);
        let (working, idle, third, fourth) = (state(), state(), state(), state());
        let _places = (
            crowd.join(HERE, &working).unwrap(),
            crowd.join(HERE, &idle).unwrap(),
        );
        let handling = working.handling();
        assert!(
            crowd.join(HERE, &third).is_none(),
            "the other has just come"
        );
        tokio::time::sleep(Duration::from_millis(150)).await;
        let third_place = crowd.join(HERE, &third).unwrap();
        idle.evicted().await;
        let _third_works = third.handling();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(crowd.join(HERE, &fourth).is_none(), "all work");
        drop(handling);
        tokio::time::sleep(Duration::from_millis(150)).await;
        let _fourth_place = crowd.join(HERE, &fourth).unwrap();
        working.evicted().await;
        drop(third_place);
        assert_eq!(crowd.members().states.len(), 1);
    }

    #[tokio::test]
    async fn an_address_has_its_share() {
        let crowd = Crowd::new(10, 2);
        let states = [state(), state(), state()];
        let first = crowd.join(HERE, &states[0]);
        let second = crowd.join(HERE, &states[1]).unwrap();
        assert!(crowd.join(HERE, &states[2]).is_none());
        assert!(crowd.join(THERE, &states[2]).is_some());
        drop(first);
        assert!(crowd.join(HERE, &states[2]).is_some());
        drop(second);
        assert!(crowd.members().of_address.is_empty());
    }
}
