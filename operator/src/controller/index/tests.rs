use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::*;

impl Digest for String {
    type Object = ConfigMap;

    fn digest(object: &ConfigMap) -> Option<Entry<Self>> {
        let policy = object.labels().get("policy")?.clone();
        let policy = PolicyName { namespace: object.namespace()?, name: policy };
        Some(Entry { policy, uid: object.uid()?, value: object.name_any() })
    }

    fn is_last_word(&self) -> bool {
        self == "name-last"
    }
}

fn object(uid: &str, policy: &str) -> ConfigMap {
    object_in("shop", uid, policy)
}

fn object_in(namespace: &str, uid: &str, policy: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {
        "name": format!("name-{uid}"),
        "namespace": namespace,
        "uid": uid,
        "labels": {"policy": policy},
    }}))
    .expect("an object")
}

fn policy(name: &str) -> PolicyName {
    PolicyName { namespace: "shop".into(), name: name.into() }
}

fn names(index: &Index<String>, name: &str) -> Vec<String> {
    index.of(&policy(name)).iter().map(|value| (**value).clone()).collect()
}

#[test]
fn events_are_taken_in_and_say_whom_they_touch() {
    let index = Index::<String>::default();
    let these = |names: &[&str]| Touched::These(names.iter().map(|name| policy(name)).collect());

    assert_eq!(index.follow(&None, Event::Apply(object("1", "a"))), these(&["a"]));
    assert_eq!(index.follow(&None, Event::Apply(object("1", "a"))), these(&["a"]));
    assert_eq!(names(&index, "a"), ["name-1"]);
    // Its label was edited: both policies must look.
    assert_eq!(index.follow(&None, Event::Apply(object("1", "b"))), these(&["a", "b"]));
    assert_eq!((names(&index, "a").len(), names(&index, "b").len()), (0, 1));
    assert_eq!(index.follow(&None, Event::Delete(object("1", "b"))), these(&["b"]));
    assert_eq!(index.follow(&None, Event::Delete(object("1", "b"))), these(&[]));
    assert!(index.entries.read().expect("lock").by_policy.is_empty());
}

#[test]
fn a_last_word_outlives_its_object_and_a_new_list() {
    let index = Index::<String>::default();
    index.follow(&None, Event::Apply(object("last", "a")));
    index.follow(&None, Event::Delete(object("last", "a")));
    assert_eq!(index.gone(&policy("a")), ["last".to_owned()].into());
    index.follow(&None, Event::Init);
    index.follow(&None, Event::InitApply(object("2", "a")));
    index.follow(&None, Event::InitDone);
    assert_eq!(names(&index, "a"), ["name-2", "name-last"]);
    let long_ago = Instant::now().checked_sub(LINGER).expect("a machine that is up for longer");
    index.entries.write().expect("lock").gone.insert("last".into(), long_ago);
    assert_eq!(names(&index, "a"), ["name-2"]);
    index.follow(&None, Event::Delete(object("2", "a")));
    assert!(index.entries.read().expect("lock").by_policy.is_empty());
}

#[test]
fn a_new_list_replaces_the_old_contents_at_once_and_only_when_it_is_complete() {
    let index = Index::<String>::default();
    index.follow(&None, Event::Apply(object("1", "a")));
    index.follow(&None, Event::Init);
    index.follow(&None, Event::InitApply(object("2", "a")));
    assert_eq!(names(&index, "a"), ["name-1"]);
    assert!(!index.synced.borrow().contains(&None));
    assert_eq!(index.follow(&None, Event::InitDone), Touched::All(None));
    assert_eq!(names(&index, "a"), ["name-2"]);
    assert!(index.synced.borrow().contains(&None));
}

#[test]
fn a_new_list_of_one_namespace_leaves_the_others_alone() {
    let index = Index::<String>::default();
    let (shop, games) = (Some("shop".to_owned()), Some("games".to_owned()));
    let in_games = PolicyName { namespace: "games".into(), name: "a".into() };
    for (place, uid) in [(&shop, "1"), (&games, "2")] {
        index.follow(place, Event::Init);
        let object = object_in(place.as_deref().unwrap_or_default(), uid, "a");
        index.follow(place, Event::InitApply(object));
    }
    assert_eq!(index.follow(&shop, Event::InitDone), Touched::All(shop.clone()));
    assert_eq!((names(&index, "a").len(), index.of(&in_games).len()), (1, 0));
    assert!(!index.synced.borrow().contains(&games));
    index.follow(&games, Event::InitDone);
    assert_eq!(*index.of(&in_games)[0], "name-2");

    index.follow(&shop, Event::Init);
    index.follow(&shop, Event::InitDone);
    assert_eq!((names(&index, "a").len(), index.of(&in_games).len()), (0, 1));
}
