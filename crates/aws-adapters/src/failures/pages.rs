//! Pages of failures, the latest first, from one or several lanes of an index.
//!
//! Each lane is one key of an index, in order. Failures of every status are as many
//! lanes, merged: what is later than the last one read of each lane that goes on is in
//! its final order, and the rest is read again with the next page.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use contracts::Timestamp;
use failures::{Failure, FailureId, Query, Status};
use ports::Unavailable;
use serde::{Deserialize, Serialize};

use super::dynamodb;
use crate::dynamodb::{now, text};

/// Few enough for one answer of 1 MB in the usual case; a larger answer is cut by DynamoDB.
const PER_PAGE: i32 = 100;

/// Each is a request of its own.
pub(super) const IDS_PER_PAGE: usize = 25;

/// Sorts what fits.
pub(super) fn latest_first(mut found: Vec<Failure>, query: &Query) -> Vec<Failure> {
    let now = now();
    found.retain(|failure| !failure.is_forgotten(now) && query.matches(failure));
    found.sort_by_key(|failure| std::cmp::Reverse(failure.trouble.failed_at));
    found
}

/// Where a page of ids begins.
pub(super) fn offset(from: Option<&str>) -> Result<usize, Unavailable> {
    from.map_or(Ok(0), |text| text.parse().map_err(dynamodb))
}

/// How far each lane was read. Only valid with the query it came from.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    lanes: Vec<Lane>,
}

/// What is stored of a cursor between two pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Position {
    Start,
    After(Timestamp, FailureId),
    End,
}

/// One key of an index.
#[derive(Debug)]
pub(super) struct Lane {
    index: &'static str,
    attribute: &'static str,
    value: String,
    position: Position,
    fetched: Vec<Failure>,
    more: bool,
}

impl Cursor {
    pub(super) fn read(query: &Query, from: Option<&str>) -> Result<Self, Unavailable> {
        let mut lanes = lanes(query);
        if let Some(text) = from {
            let positions: Vec<Position> = serde_json::from_str(text).map_err(dynamodb)?;
            if positions.len() != lanes.len() {
                return Err(dynamodb("the cursor belongs to another query"));
            }
            for (lane, position) in lanes.iter_mut().zip(positions) {
                lane.position = position;
            }
        }
        Ok(Self { lanes })
    }

    /// `None` when all lanes have ended.
    pub(super) fn write(&self) -> Result<Option<String>, Unavailable> {
        if self.lanes.iter().all(Lane::has_ended) {
            return Ok(None);
        }
        let positions: Vec<_> = self.lanes.iter().map(|lane| &lane.position).collect();
        serde_json::to_string(&positions)
            .map(Some)
            .map_err(dynamodb)
    }

    pub(super) fn lanes_to_read(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut().filter(|lane| !lane.has_ended())
    }

    /// Everything that no unread failure can come before.
    pub(super) fn take_what_is_in_order(&mut self) -> Vec<Failure> {
        let unread = self.lanes.iter().filter(|lane| lane.more);
        let last_read = unread.filter_map(|lane| lane.fetched.last());
        let until = last_read.map(|failure| failure.trouble.failed_at).max();
        let lanes = self.lanes.iter_mut();
        lanes.flat_map(|lane| lane.take(until)).collect()
    }
}

impl Lane {
    fn new(index: &'static str, attribute: &'static str, value: impl Into<String>) -> Self {
        Self {
            index,
            attribute,
            value: value.into(),
            position: Position::Start,
            fetched: Vec::new(),
            more: false,
        }
    }

    fn has_ended(&self) -> bool {
        self.position == Position::End
    }

    pub(super) fn request(
        &self,
        client: &Client,
        table: &str,
        query: &Query,
    ) -> Result<QueryFluentBuilder, Unavailable> {
        let since = query.since.unwrap_or(Timestamp::from_epoch_millis(0));
        let latest = "9999-12-31T23:59:59.999Z".to_owned();
        // `until` itself is not meant; `matches` leaves it out.
        let until = query.until.map_or(latest, |until| until.to_string());
        let mut request = client
            .query()
            .table_name(table)
            .index_name(self.index)
            .key_condition_expression("#key = :key AND failedAt BETWEEN :since AND :until")
            .expression_attribute_names("#key", self.attribute)
            .expression_attribute_values(":key", text(&self.value))
            .expression_attribute_values(":since", text(since.to_string()))
            .expression_attribute_values(":until", text(until))
            .scan_index_forward(false)
            .limit(PER_PAGE);
        if let Position::After(at, id) = &self.position {
            request = request
                .exclusive_start_key(self.attribute, text(&self.value))
                .exclusive_start_key("failedAt", text(at.to_string()))
                .exclusive_start_key("id", text(id.as_str()));
        }
        Ok(request)
    }

    pub(super) fn fetched(&mut self, failures: Vec<Failure>, more: bool) {
        self.fetched = failures;
        self.more = more;
    }

    /// Takes what is not earlier than `until`, and notes how far that is.
    fn take(&mut self, until: Option<Timestamp>) -> Vec<Failure> {
        let in_order = |failure: &Failure| until.is_none_or(|at| failure.trouble.failed_at >= at);
        let count = self.fetched.iter().take_while(|f| in_order(f)).count();
        let rest = self.fetched.split_off(count);
        let taken = std::mem::replace(&mut self.fetched, rest);
        if self.fetched.is_empty() && !self.more {
            self.position = Position::End;
        } else if let Some(last) = taken.last() {
            self.position = Position::After(last.trouble.failed_at, last.id.clone());
        }
        taken
    }
}

/// The most telling index: an order has few failures, a group has less than a status.
fn lanes(query: &Query) -> Vec<Lane> {
    // DynamoDB refuses a range that ends before it begins.
    if query
        .since
        .zip(query.until)
        .is_some_and(|(since, until)| since >= until)
    {
        return Vec::new();
    }
    if let Some(order) = &query.order_id {
        return vec![Lane::new("by-order", "orderId", order)];
    }
    if let Some(group) = &query.group {
        return vec![Lane::new("by-group", "group", group.as_str())];
    }
    let is_asked = |status: &Status| query.statuses.is_empty() || query.statuses.contains(status);
    let lane = |status: Status| Lane::new("by-status", "status", status.as_str());
    Status::ALL.into_iter().filter(is_asked).map(lane).collect()
}
