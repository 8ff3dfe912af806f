//! What the chart grants, joined with what operators asked for. Pure.
//!
//! A grant is one verb on one resource, of one role. It is used when a request was allowed that needs
//! it: on a `ClusterRole`, a `list` or `watch` of what is watched has to be one over all namespaces,
//! and on a `Role` one of a namespace; of a rule with `resourceNames` the name has to be among them.
//! Two rights show in no request of their own: to write an owner reference with `blockOwnerDeletion`,
//! as admission asks `update` on the owner's `finalizers` for it; and to `create` what a server-side
//! apply makes.
//!
//! The Roles of a release come after its pods and go before them: what is refused at home although it
//! is granted there was asked meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::Entry;

/// The status code of what has made something.
const CREATED: u64 = 201;

/// One verb on one resource, of one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `ClusterRole`, or `Role` and its namespace.
    role: String,
    verb: String,
    group: String,
    resource: String,
    /// Of these names alone; of any where there is none.
    names: Vec<String>,
}

impl Display for Grant {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.role, shown(&self.verb, &self.group, &self.resource))?;
        let names = self.names.join(", ");
        if names.is_empty() { Ok(()) } else { write!(formatter, " named {names}") }
    }
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    verb: String,
    group: String,
    resource: String,
    /// Over all namespaces, or in one.
    is_wide: bool,
    namespace: String,
    name: String,
}

impl Display for Use {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.verb, &self.group, &self.resource))?;
        if self.name.is_empty() { Ok(()) } else { write!(formatter, " named {}", self.name) }
    }
}

fn shown(verb: &str, group: &str, resource: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// What was asked for, over all clusters.
#[derive(Debug, Default)]
pub struct Permissions {
    uses: BTreeSet<Use>,
    /// Requests of the chart's account that RBAC refused, by what they asked for.
    forbidden: BTreeMap<String, (Use, usize)>,
    /// The chart's account, as the log names it.
    account: String,
    /// Where the operator itself lives.
    home: String,
}

impl Permissions {
    /// Of an operator in this namespace, with this account.
    #[must_use]
    pub fn new(home: &str, account: &str) -> Self {
        let account = format!("system:serviceaccount:{home}:{account}");
        Self { account, home: home.to_owned(), ..Self::default() }
    }

    /// Takes a request into account.
    pub fn add(&mut self, entry: &Entry) {
        // Others have what a test, or another release, has given them.
        if !entry.by_operator || entry.user != self.account {
            return;
        }
        let Entry { verb, group, resource, namespace, name, .. } = entry.clone();
        let is_wide = namespace.is_empty();
        // Where it is does not matter, but for what is at home; nor its name, but for leases.
        let is_lease = resource == "leases";
        let at_home = namespace == self.home;
        let namespace = if at_home { namespace } else { String::new() };
        let name = if is_lease { name } else { String::new() };
        let asked = Use { verb, group, resource, is_wide, namespace, name };
        if !entry.is_allowed {
            let words = format!("{} {} {}", asked.verb, asked.resource, entry.uri);
            self.forbidden.entry(words).or_insert((asked, 0)).1 += 1;
            return;
        }
        if entry.is_done() {
            self.uses.extend(owner_use(entry, &asked));
        }
        if entry.code == CREATED {
            self.uses.insert(Use { verb: "create".to_owned(), ..asked.clone() });
        }
        self.uses.insert(asked);
    }

    /// What is granted and never used, what was used and is not granted, and what was refused.
    #[must_use]
    pub fn findings(&self, granted: &[Grant]) -> Vec<String> {
        let unused = granted
            .iter()
            .filter(|grant| !self.uses.iter().any(|asked| self.needs(asked, grant, granted)));
        let mut findings: Vec<_> =
            unused.map(|grant| format!("granted and never used: {grant}")).collect();
        let beyond =
            self.uses.iter().filter(|asked| !granted.iter().any(|grant| is_for(asked, grant)));
        findings.extend(beyond.map(|asked| format!("used and not granted: {asked}")));
        let secrets = self.uses.iter().filter(|asked| asked.resource.starts_with("secrets"));
        findings.extend(secrets.map(|asked| format!("asked for secrets: {}", asked.verb)));
        let at_home = format!("Role in {}", self.home);
        let refused = self.forbidden.iter().filter(|(_, (asked, _))| {
            let mut ours = granted.iter().filter(|grant| grant.role == at_home);
            asked.namespace != self.home || !ours.any(|grant| is_for(asked, grant))
        });
        findings
            .extend(refused.map(|(words, (_, times))| format!("refused {times} times: {words}")));
        findings
    }

    /// How many kinds of request there were.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.uses.len()
    }

    fn needs(&self, asked: &Use, grant: &Grant, granted: &[Grant]) -> bool {
        let is_watched = granted.iter().any(|other| {
            other.verb == "watch"
                && (&other.group, &other.resource) == (&grant.group, &grant.resource)
        });
        let reads_all = is_watched && ["list", "watch"].contains(&asked.verb.as_str());
        let in_scope = match grant.role.strip_prefix("Role in ") {
            None => !reads_all || asked.is_wide,
            Some(home) if home == self.home => asked.namespace == home,
            Some(_) => !asked.is_wide,
        };
        in_scope && is_for(asked, grant)
    }
}

fn is_for(asked: &Use, grant: &Grant) -> bool {
    asked.verb == grant.verb
        && asked.group == grant.group
        && asked.resource == grant.resource
        && (grant.names.is_empty() || grant.names.contains(&asked.name))
}

/// What a write needs beside itself, for an owner that must not go before it.
fn owner_use(entry: &Entry, asked: &Use) -> Option<Use> {
    let owners = entry.request.pointer("/metadata/ownerReferences")?.as_array()?;
    let blocks = owners
        .iter()
        .any(|owner| owner["kind"] == "CleanupPolicy" && owner["blockOwnerDeletion"] == true);
    blocks.then(|| Use {
        verb: "update".to_owned(),
        group: "pgsweep.dev".to_owned(),
        resource: "cleanuppolicies/finalizers".to_owned(),
        ..asked.clone()
    })
}

/// Every grant of the roles that are bound to an account, among the objects of a chart.
#[must_use]
pub fn granted(objects: &[Value], account: &str) -> Vec<Grant> {
    let bound = |role: &Value| {
        objects.iter().any(|binding| {
            let to = &binding["roleRef"];
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            to["kind"] == role["kind"]
                && to["name"] == role["metadata"]["name"]
                && (role["kind"] == "ClusterRole"
                    || binding["metadata"]["namespace"] == role["metadata"]["namespace"])
                && subjects.into_iter().any(|subject| {
                    subject["kind"] == "ServiceAccount" && subject["name"] == account
                })
        })
    };
    let roles = objects.iter().filter(|object| {
        ["ClusterRole", "Role"].iter().any(|kind| object["kind"] == *kind) && bound(object)
    });
    let mut grants: Vec<_> = roles.flat_map(of_role).collect();
    grants.sort();
    grants
}

fn of_role(role: &Value) -> Vec<Grant> {
    let name = match role["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("Role in {namespace}"),
        None => "ClusterRole".to_owned(),
    };
    let mut grants = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let words = |field: &str| -> Vec<String> {
            let words = rule[field].as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(ToOwned::to_owned)).collect()
        };
        for group in words("apiGroups") {
            for resource in words("resources") {
                for verb in words("verbs") {
                    grants.push(Grant {
                        role: name.clone(),
                        verb,
                        group: group.clone(),
                        resource: resource.clone(),
                        names: words("resourceNames"),
                    });
                }
            }
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOME: &str = "pgsweep-system";

    fn objects() -> Vec<Value> {
        let binding = |kind: &str, name: &str, namespace: Option<&str>| {
            json!({
                "kind": format!("{kind}Binding"), "metadata": {"name": name, "namespace": namespace},
                "roleRef": {"kind": kind, "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": "operator"}],
            })
        };
        let rule = |group: &str, resource: &str, verbs: &[&str], names: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs, "resourceNames": names});
        let wide = [
            rule("batch", "cronjobs", &["list", "watch", "create", "patch"], &[]),
            rule("events.k8s.io", "events", &["list"], &[]),
            rule("pgsweep.dev", "cleanuppolicies/finalizers", &["update"], &[]),
        ];
        vec![
            json!({"kind": "ClusterRole", "metadata": {"name": "wide"}, "rules": wide}),
            binding("ClusterRole", "wide", None),
            json!({"kind": "Role", "metadata": {"name": "home", "namespace": HOME},
                "rules": [rule("coordination.k8s.io", "leases", &["get"], &["one"])]}),
            binding("Role", "home", Some(HOME)),
            json!({"kind": "ClusterRole", "metadata": {"name": "for-users"},
                "rules": [rule("", "secrets", &["get"], &[])]}),
        ]
    }

    fn asked(verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> Entry {
        Entry {
            verb: verb.to_owned(),
            user: format!("system:serviceaccount:{HOME}:operator"),
            by_operator: true,
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            code: 200,
            is_allowed: true,
            ..Entry::default()
        }
    }

    fn all() -> Vec<Entry> {
        let mut create = asked("patch", "batch", "cronjobs", "shop", "codes");
        create.code = CREATED;
        create.request = json!({"metadata": {"ownerReferences": [
            {"kind": "CleanupPolicy", "blockOwnerDeletion": true}]}});
        vec![
            asked("list", "batch", "cronjobs", "", ""),
            create,
            asked("get", "coordination.k8s.io", "leases", HOME, "one"),
            asked("watch", "batch", "cronjobs", "", ""),
            asked("list", "events.k8s.io", "events", "shop", ""),
        ]
    }

    fn findings(entries: &[Entry]) -> Vec<String> {
        let mut permissions = Permissions::new(HOME, "operator");
        for entry in entries {
            permissions.add(entry);
        }
        permissions.findings(&granted(&objects(), "operator"))
    }

    #[test]
    fn what_is_granted_and_used_is_no_finding_and_roles_of_others_do_not_count() {
        assert_eq!(findings(&all()), Vec::<String>::new());
    }

    #[test]
    fn what_nobody_uses_is_found() {
        let unused = |left_out: usize| {
            let mut entries = all();
            entries.remove(left_out);
            findings(&entries)
        };
        assert_eq!(unused(0), ["granted and never used: ClusterRole: list cronjobs.batch"]);
        assert_eq!(
            unused(1),
            [
                "granted and never used: ClusterRole: create cronjobs.batch",
                "granted and never used: ClusterRole: patch cronjobs.batch",
                "granted and never used: ClusterRole: update cleanuppolicies/finalizers.pgsweep.dev"
            ]
        );
        let lease = "granted and never used: Role in pgsweep-system: get leases.coordination.k8s.io named one";
        assert_eq!(unused(2), [lease]);
        // One namespace's list does not need the whole cluster's.
        let mut narrow = all();
        narrow[0].namespace = "shop".to_owned();
        assert_eq!(findings(&narrow), unused(0));
        let mut elsewhere = all();
        elsewhere[2].namespace = "shop".to_owned();
        assert_eq!(findings(&elsewhere), [lease]);
    }

    #[test]
    fn what_is_not_granted_or_was_refused_is_found() {
        let mut entries = all();
        entries.push(asked("delete", "batch", "cronjobs", "shop", "codes"));
        entries.push(asked("get", "", "secrets", "shop", "db"));
        let refused = Entry { is_allowed: false, ..asked("get", "batch", "jobs", "shop", "") };
        entries.push(refused.clone());
        // The Role was not there yet, or not any more.
        let lease = asked("get", "coordination.k8s.io", "leases", HOME, "one");
        entries.push(Entry { is_allowed: false, ..lease });
        entries.push(Entry { user: "system:serviceaccount:shop:default".to_owned(), ..refused });
        assert_eq!(
            findings(&entries),
            [
                "used and not granted: delete cronjobs.batch",
                "used and not granted: get secrets",
                "asked for secrets: get",
                "refused 1 times: get jobs "
            ]
        );
    }
}
