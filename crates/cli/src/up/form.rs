//! From separate nodes to a cluster, by the protocol.
//!
//! Slots and config epochs are given while the nodes do not know each other yet, so that no two
//! claim the same; then the first node meets the others; once all know all, replicas are told whom
//! to follow.

use std::time::{Duration, Instant};

use super::UpError;
use super::plan::Plan;
use super::process::Node;
use crate::client::ClientError;

/// How often nodes are asked whether something has come about.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long a wait goes on before anything is said about it, and how often it is said again.
const FIRST_WORD: Duration = Duration::from_secs(2);
const NEXT_WORD: Duration = Duration::from_secs(5);

/// Nodes that are to become, or to be, a cluster.
pub struct Formation<'a> {
    nodes: &'a mut [Node],
    deadline: Instant,
    interrupted: &'a dyn Fn() -> bool,
    /// Is told what a long wait is for.
    progress: Option<&'a mut dyn FnMut(&str)>,
}

impl<'a> Formation<'a> {
    /// Every wait together may take so long.
    pub fn new(
        nodes: &'a mut [Node],
        patience: Duration,
        interrupted: &'a dyn Fn() -> bool,
    ) -> Formation<'a> {
        Formation { nodes, deadline: Instant::now() + patience, interrupted, progress: None }
    }

    /// Has `progress` told what is waited for, where that takes long.
    pub(crate) fn telling(self, progress: &'a mut dyn FnMut(&str)) -> Formation<'a> {
        Formation { progress: Some(progress), ..self }
    }

    /// Waits until every node answers.
    pub(crate) fn await_answers(&mut self) -> Result<(), UpError> {
        self.until("the node answers", |node| {
            Ok(match node.ask(&["PING"]) {
                Ok(_) => None,
                Err(error @ ClientError::Refused(_)) if !is_loading(&error) => return Err(error),
                Err(error) => Some(error.to_string()),
            })
        })
    }

    /// Makes them the cluster of the plan.
    pub fn form(&mut self, plan: &Plan) -> Result<(), UpError> {
        for index in 0..plan.node_count() {
            if plan.primary_of(index).is_none() {
                let (first, last) = plan.slots(index);
                self.tell(
                    index,
                    &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()],
                )?;
            }
            self.tell(index, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        for port in plan.ports().skip(1) {
            self.tell(0, &["CLUSTER", "MEET", "127.0.0.1", &port.to_string()])?;
        }
        self.await_acquaintance(plan)?;
        for index in 0..plan.node_count() {
            if let Some(primary) = plan.primary_of(index) {
                let id = self.tell(primary, &["CLUSTER", "MYID"])?;
                self.tell(index, &["CLUSTER", "REPLICATE", &id])?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, index: u16, args: &[&str]) -> Result<String, UpError> {
        let node = &mut self.nodes[usize::from(index)];
        let port = node.port;
        let answer = node.ask(args).map_err(|source| UpError::Node { port, source })?;
        Ok(answer.text().unwrap_or_default())
    }

    /// Waits until every node knows every other by name and address.
    fn await_acquaintance(&mut self, plan: &Plan) -> Result<(), UpError> {
        let count = usize::from(plan.node_count());
        self.until("all nodes know each other", |node| {
            let seen = node.cluster_nodes()?;
            let known = seen.iter().filter(|node| !node.handshake && node.linked).count();
            Ok((known < count).then(|| format!("it knows {known} of {count} nodes")))
        })
    }

    /// Waits until every node says `cluster_state:ok`, sees all nodes well and as many replicas as
    /// planned, and every replica is connected to its primary.
    pub fn await_ok(&mut self, plan: &Plan) -> Result<(), UpError> {
        let count = usize::from(plan.node_count());
        let replicas = usize::from(plan.node_count() - plan.masters);
        self.until("the cluster is up (cluster_state:ok)", move |node| {
            let state = node.field(&["CLUSTER", "INFO"], "cluster_state")?;
            if state != "ok" {
                return Ok(Some(format!("it says cluster_state:{state}")));
            }
            let seen = node.cluster_nodes()?;
            let well =
                seen.iter().filter(|node| node.linked && !node.failing && !node.handshake).count();
            if well < count {
                return Ok(Some(format!("it sees {well} of {count} nodes well")));
            }
            let following = seen.iter().filter(|node| node.primary.is_some()).count();
            if following < replicas {
                return Ok(Some(format!("it sees {following} of {replicas} replicas")));
            }
            if seen.iter().any(|node| node.myself && node.primary.is_some()) {
                let link = node.field(&["INFO", "replication"], "master_link_status")?;
                return Ok((link != "up").then(|| format!("its link to its primary is {link}")));
            }
            Ok(None)
        })
    }

    /// Asks each node in turn until it has nothing missing; a time-out's error says what is
    /// missing.
    fn until(
        &mut self,
        what: &str,
        missing: impl Fn(&mut Node) -> Result<Option<String>, ClientError>,
    ) -> Result<(), UpError> {
        let started = Instant::now();
        let mut tell_at = started + FIRST_WORD;
        for node in self.nodes.iter_mut() {
            loop {
                if (self.interrupted)() {
                    return Err(UpError::Interrupted);
                }
                if let Some(status) = node.ended() {
                    let (last_line, log) = (node.last_line(), node.files.log.clone());
                    return Err(UpError::NodeEnded { port: node.port, status, last_line, log });
                }
                let lacking = match missing(node) {
                    Ok(None) => break,
                    Ok(Some(lacking)) => lacking,
                    Err(ClientError::Io(error)) => error.to_string(),
                    Err(error) if is_loading(&error) => error.to_string(),
                    Err(source) => return Err(UpError::Node { port: node.port, source }),
                };
                let now = Instant::now();
                if now >= tell_at
                    && let Some(progress) = &mut self.progress
                {
                    let waited = now.duration_since(started).as_secs();
                    progress(&format!(
                        "Waiting until {what}: node {}: {lacking} ({waited} s)",
                        node.port
                    ));
                    tell_at = now + NEXT_WORD;
                }
                if now > self.deadline {
                    let what = format!("waiting until {what}; node {}: {lacking}", node.port);
                    return Err(UpError::Timeout { what });
                }
                std::thread::sleep(ASK_EVERY);
            }
        }
        Ok(())
    }
}

/// A node that loads its data will answer later.
fn is_loading(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(text) if text.starts_with("LOADING"))
}
