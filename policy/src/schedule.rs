//! placeholder
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(String, String);
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("x")]
pub struct ScheduleProblem;
impl ScheduleProblem { pub fn is_time_zone(&self) -> bool { false } }
impl Schedule {
    pub fn parse(e: &str, z: &str) -> Result<Self, ScheduleProblem> { Ok(Self(e.into(), z.into())) }
    pub fn upcoming(&self, _from: jiff::Timestamp, _n: usize) -> Vec<jiff::Timestamp> { vec![] }
    pub fn after(&self, _from: jiff::Timestamp) -> Option<jiff::Timestamp> { None }
    pub fn expression(&self) -> &str { &self.0 }
    pub fn time_zone(&self) -> &str { &self.1 }
}
