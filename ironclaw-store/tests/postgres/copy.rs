//! Moving house: users and whole stores from libSQL to PostgreSQL and back.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use ironclaw_core::change::{ConversationOp, SettingOp, WorkspaceOp};
use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::{
    ConversationId, ErasureId, HoldId, MessageId, OperatorName, RootKeyWrapId, TenantId, UserId, VaultId, VersionId,
};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::{UserRole, UserStatus};
use ironclaw_core::model::audit::{Action, Outcome};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::privacy::{Hold, RetainedCategory};
use ironclaw_core::model::secrets::{Algorithm, RootKeyWrap, VaultHeader, WrappedKey};
use ironclaw_core::model::workspace::{NewVersion, Part};
use ironclaw_core::store::{AgentStore, Apply, MemoryStore, Store, StoreErrorKind};
use ironclaw_core::{Change, Clock, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{
    Copied, CopyProgress, LibsqlMaintenance, LibsqlStore, Movable, PostgresMaintenance, PostgresStore, Selection,
    copy_store, discard_unfinished_copies,
};
use ironclaw_testing::{Mode, Server};
use tempfile::TempDir;

use crate::database::{Database, app_url, operator_url};

ironclaw_testing::tests![
    one_user_moves_there_and_back,
    a_whole_store_moves_there_and_back,
    what_is_unfinished_is_nobodys,
    an_unfinished_copy_can_be_discarded,
    a_copy_whose_target_was_lost_goes_on_with_it,
    child_that_copies ignored "a child process of killed_it_goes_on_where_it_was",
    killed_it_goes_on_where_it_was,
    a_source_that_changed_since_is_copied_as_it_is_now,
    writing_while_it_is_copied_is_noticed,
    what_operators_do_while_it_is_copied_is_noticed,
    two_copies_and_a_discard_at_once_leave_a_whole_user_or_none,
    what_a_hold_keeps_comes_along,
    whoever_was_erased_does_not_come_back,
    a_store_is_not_copied_to_itself,
    what_does_not_fit_is_refused_before_anything_is_written,
];

const CHILD: &str = "IRONCLAW_TEST_COPY";

/// A store with its admin plane.
struct House<S, M> {
    store: S,
    maintenance: M,
    _place: Place,
}

#[allow(dead_code, reason = "it is only kept")]
enum Place {
    File(TempDir),
    Database(Database),
}

async fn file() -> House<LibsqlStore, LibsqlMaintenance> {
    let folder = tempfile::tempdir().unwrap();
    let store = LibsqlStore::open(folder.path().join("agent.db")).await.unwrap();
    let maintenance = store.maintenance(operator());
    House { store, maintenance, _place: Place::File(folder) }
}

async fn server() -> House<PostgresStore, PostgresMaintenance> {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator()).await.unwrap();
    House { store, maintenance, _place: Place::Database(database) }
}

fn operator() -> OperatorName {
    OperatorName::parse("olga").unwrap()
}

fn user(tenant: &str, owner: &str) -> Scope {
    Scope::tenant_user(tenant, owner).unwrap()
}

fn selection(scope: &Scope) -> Selection {
    Selection::User { tenant: scope.tenant().clone(), owner: scope.owner().clone() }
}

async fn copy(from: &dyn Movable, to: &dyn Movable, what: &Selection) -> Copied {
    copy_store(from, to, what, |_| {}).await.unwrap()
}

async fn refusal(from: &dyn Movable, to: &dyn Movable, what: &Selection) -> StoreErrorKind {
    let error = copy_store(from, to, what, |_| {}).await.unwrap_err();
    error.kind().clone()
}

/// What the read methods say, but for the scores of vectors, whose last digits are each store's own.
async fn seen(store: &dyn Store, scope: &Scope, sample: &Sample) -> BTreeMap<&'static str, String> {
    let mut seen = sample.read(store, scope).await.unwrap();
    assert!(seen.remove("workspace::search_vectors").unwrap().contains("score"));
    seen
}

/// What operators see of a whole store.
async fn overview(maintenance: &dyn Maintenance) -> Vec<String> {
    let page = &PageRequest::default();
    let mut chains: Vec<String> =
        maintenance.verify_audit().await.unwrap().iter().map(|head| format!("{head:?}")).collect();
    chains.sort_unstable();
    vec![
        format!("{:?}", maintenance.users(page).await.unwrap()),
        format!("{:?}", maintenance.holds(page).await.unwrap()),
        format!("{:?}", maintenance.erasures(page).await.unwrap()),
        format!("{:?}", maintenance.system_events(page).await.unwrap()),
        format!("{:?}", maintenance.retention_policies().await.unwrap()),
        chains.concat(),
    ]
}

async fn whole(maintenance: &dyn Maintenance) {
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

/// Two tenants, three users with everything, one who was erased, roles, holds, policies.
async fn furnish(store: &dyn Store, maintenance: &dyn Maintenance) -> Vec<(Scope, Sample)> {
    let mut samples = Vec::new();
    for (tenant, owner) in [("acme", "ada"), ("acme", "bob"), ("globex", "ada"), ("globex", "eve")] {
        let scope = user(tenant, owner);
        samples.push((scope.clone(), Sample::write(store, &scope, SystemClock.now()).await.unwrap()));
    }
    let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
    let (ada, eve) = (UserId::parse("ada").unwrap(), UserId::parse("eve").unwrap());
    let role = UserRole::new("editor".parse().unwrap(), vec!["files:write".to_owned()], SystemClock.now());
    let hold =
        |reason: &str| Hold::new(HoldId::make(&SystemClock), acme.clone(), ada.clone(), reason, SystemClock.now());
    for change in [
        SystemChange::PutRole { tenant: acme.clone(), role: role.clone() },
        SystemChange::PutUser {
            tenant: acme.clone(),
            owner: ada.clone(),
            status: UserStatus::Suspended,
            roles: vec![role.name],
        },
        SystemChange::PlaceHold { hold: hold("case 12") },
        SystemChange::PutRetention { tenant: acme.clone(), category: RetainedCategory::Jobs, days: 400 },
        SystemChange::PutQuota { tenant: acme, owner: ada.into(), name: "tokens".parse().unwrap(), limit: u64::MAX },
        SystemChange::EraseUser { tenant: globex, owner: eve.into(), id: ErasureId::make(&SystemClock) },
    ] {
        maintenance.apply_system(change).await.unwrap();
    }
    samples.pop();
    samples
}

async fn one_user_moves_there_and_back() {
    let (old, new, third) = (file().await, server().await, file().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let (ada, sample) = &samples[0];
    let before = seen(&old.store, ada, sample).await;
    let there = copy(&old.maintenance, &new.maintenance, &selection(ada)).await;
    assert_eq!(there.users, 1);
    let rows = |copied: &Copied, name: &str| copied.tables.iter().find(|table| table.name == name).unwrap().rows;
    assert_eq!((rows(&there, "messages"), rows(&there, "entry_versions"), rows(&there, "holds")), (4, 2, 1));
    assert_eq!(seen(&new.store, ada, sample).await, before);
    // Nobody else came along, and the namesake least of all.
    let users = new.maintenance.users(&PageRequest::default()).await.unwrap().items;
    assert_eq!(users.len(), 1, "{users:?}");
    assert_eq!(users[0].1.roles.len(), 1);
    whole(&new.maintenance).await;
    let arrival = new.maintenance.system_events(&PageRequest::default()).await.unwrap().items;
    assert_eq!(arrival.last().unwrap().event.action.name(), "system.copy_user_in");

    let back = copy(&new.maintenance, &third.maintenance, &selection(ada)).await;
    assert_eq!(back, there);
    assert_eq!(seen(&third.store, ada, sample).await, before);
    whole(&third.maintenance).await;
    // What is there already is compared, and nothing is written.
    assert_eq!(copy(&new.maintenance, &third.maintenance, &selection(ada)).await, there);
}

async fn a_whole_store_moves_there_and_back() {
    let (old, new, third) = (file().await, server().await, file().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let there = copy(&old.maintenance, &new.maintenance, &Selection::Everything).await;
    assert_eq!(there.users, 3);
    assert_eq!(overview(&new.maintenance).await, overview(&old.maintenance).await);
    for (scope, sample) in &samples {
        assert_eq!(seen(&new.store, scope, sample).await, seen(&old.store, scope, sample).await);
    }
    whole(&new.maintenance).await;
    // The source says once more that it was copied, and that event follows.
    let again = copy(&old.maintenance, &new.maintenance, &Selection::Everything).await;
    assert_eq!(again.users, 3);
    assert_eq!(overview(&new.maintenance).await, overview(&old.maintenance).await);

    copy(&new.maintenance, &third.maintenance, &Selection::Everything).await;
    assert_eq!(overview(&third.maintenance).await, overview(&new.maintenance).await);
    for (scope, sample) in &samples {
        assert_eq!(seen(&third.store, scope, sample).await, seen(&old.store, scope, sample).await);
    }
    whole(&third.maintenance).await;
    // Life goes on: the moved users write, and their chains go on.
    let bob = &samples[1].0;
    for store in [&new.store as &dyn Store, &third.store] {
        store.apply(bob, Change::new().with(setting("later"))).await.unwrap();
        assert!(store.audit().verify(bob).await.is_ok());
    }
    whole(&new.maintenance).await;
    whole(&third.maintenance).await;
}

/// A vault of its own.
fn vault(tenant: &TenantId) -> SystemChange {
    let header = VaultHeader::new(VaultId::make(&SystemClock), 1, 1, SystemClock.now());
    let wrapped = WrappedKey::new(1, Algorithm::Aes256Gcm, vec![1; 12], vec![2; 48]);
    let wrap = RootKeyWrap::new(RootKeyWrapId::make(&SystemClock), 1, "a test", wrapped, SystemClock.now());
    SystemChange::InitVault { tenant: tenant.clone(), header, wrap }
}

fn setting(value: &str) -> SettingOp {
    SettingOp::Put { key: "place".parse().unwrap(), value: value.into() }
}

async fn what_is_unfinished_is_nobodys() {
    let (old, new) = (file().await, server().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let (ada, sample) = &samples[0];
    let what = selection(ada);
    // Dropped at each of its steps, it leaves nothing that anybody sees.
    let (mut steps, mut finished) = (0, false);
    while !finished {
        steps += 1;
        let copying = copy_store(&old.maintenance, &new.maintenance, &what, |_| {});
        finished = tokio::time::timeout(Duration::from_millis(2 * steps), copying).await.map(Result::unwrap).is_ok();
        if !finished {
            let there = new.maintenance.users(&PageRequest::default()).await.unwrap().items.len();
            let visible = sample.read(&new.store, ada).await.unwrap();
            assert!(new.maintenance.holds(&PageRequest::default()).await.unwrap().items.len() <= 1);
            // A step that was under way may have been the last.
            assert!(there == 0 && visible["settings::settings"].contains("[]") || there == 1, "{visible:?}");
        }
    }
    assert!(steps > 1, "it was never broken off");
    assert_eq!(seen(&new.store, ada, sample).await, seen(&old.store, ada, sample).await);
    assert_eq!(discard_unfinished_copies(&new.maintenance).await.unwrap(), 0);
    whole(&new.maintenance).await;
}

async fn an_unfinished_copy_can_be_discarded() {
    for to_server in [true, false] {
        let (old, new, file) = (file().await, server().await, file().await);
        let samples = furnish(&old.store, &old.maintenance).await;
        let (movable, maintenance): (&dyn Movable, &dyn Maintenance) = match to_server {
            true => (&new.maintenance, &new.maintenance),
            false => (&file.maintenance, &file.maintenance),
        };
        let what = selection(&samples[0].0);
        let (far, mut is_far) = tokio::sync::mpsc::unbounded_channel();
        let copying = copy_store(&old.maintenance, movable, &what, |_| {
            let _ = far.send(());
        });
        tokio::select! {
            biased;
            _ = is_far.recv() => {}
            done = copying => panic!("it was not broken off: {done:?}"),
        }
        let found = maintenance.check_integrity().await.unwrap();
        assert!(found[0].contains("1 unfinished copies"), "{found:?}");
        assert!(
            found[0].contains("copy the same again") && found[0].contains("discard_unfinished_copies"),
            "{found:?}"
        );
        assert!(discard_unfinished_copies(movable).await.unwrap() > 0);
        whole(maintenance).await;
        assert_eq!(maintenance.verify_audit().await.unwrap().len(), 1);
        copy(&old.maintenance, movable, &what).await;
        whole(maintenance).await;
    }
}

/// The number of the first message that is there.
async fn oldest(server: &Server) -> i64 {
    let sql = "SELECT min(message_no) FROM ironclaw.messages";
    sqlx::query_scalar(sql).fetch_one(&mut crate::own::superuser(server).await).await.unwrap()
}

async fn a_copy_whose_target_was_lost_goes_on_with_it() {
    let old = file().await;
    let ada = user("acme", "ada");
    settle(&old.store, &ada, 40).await;
    let server = crate::own::start(&[]).await;
    // Soon it counts as lost.
    let builder = PostgresStore::builder().acquire_timeout(Duration::from_secs(1));
    let new = builder.connect_maintenance(&crate::own::operator_url(&server), operator()).await.unwrap();
    let mut is_lost = false;
    let what = selection(&ada);
    let copying = copy_store(&old.maintenance, &new, &what, |progress| {
        if progress.rows > 500 && !is_lost {
            tokio::task::block_in_place(|| server.stop(Mode::Immediate)).unwrap();
            is_lost = true;
        }
    });
    let error = copying.await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    let found = new.check_integrity().await.unwrap();
    assert!(found[0].contains("copy the same again"), "{found:?}");
    let kept = oldest(&server).await;
    let copied = copy(&old.maintenance, &new, &what).await;
    assert_eq!(copied.tables.iter().find(|table| table.name == "messages").unwrap().rows, 40 * 50);
    assert_eq!(oldest(&server).await, kept, "it began anew");
    whole(&new).await;
}

/// A user with enough for a copy to be broken off in the middle.
async fn settle(store: &dyn Store, scope: &Scope, conversations: usize) {
    for _ in 0..conversations {
        let id = ConversationId::make(&SystemClock);
        let mut change = Change::new().with(ConversationOp::Create { id, title: "A talk".to_owned() });
        for nr in 0..50 {
            let text = format!("message {nr} of a long talk about ships, {}", "lighthouses and more ".repeat(20));
            let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, text);
            change = change.with(ConversationOp::AppendMessage { conversation: id, message });
        }
        store.apply(scope, change).await.unwrap();
    }
}

/// Not a test: what the next one starts, to kill it.
async fn child_that_copies() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let (path, database) = arguments.split_once('|').unwrap();
    let old = LibsqlStore::open(path).await.unwrap().maintenance(operator());
    let new = PostgresMaintenance::connect(&operator_url(database), operator()).await.unwrap();
    let said = |progress: CopyProgress| println!("\nrows {}", progress.rows);
    copy_store(&old, &new, &selection(&user("acme", "ada")), said).await.unwrap();
}

async fn killed_it_goes_on_where_it_was() {
    let (old, new) = (file().await, server().await);
    let ada = user("acme", "ada");
    settle(&old.store, &ada, 40).await;
    let (Place::File(folder), Place::Database(database)) = (&old._place, &new._place) else { unreachable!() };
    let mut superuser = database.superuser().await;
    let mut reached = 0;
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "copy::child_that_copies", "--ignored", "--nocapture"])
            .env(CHILD, format!("{}|{}", folder.path().join("agent.db").display(), database.name()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Until it has written more than the one before.
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let rows = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("rows ")?.parse::<i64>().ok());
        let seen = rows.into_iter().find(|rows| *rows > reached + 200);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen.is_some(), "it ended after {reached} rows");
        let sql = "SELECT (SELECT count(*) FROM ironclaw.messages) + (SELECT count(*) FROM ironclaw.audit_events)";
        let written: i64 = sqlx::query_scalar(sql).fetch_one(&mut superuser).await.unwrap();
        assert!(written > reached, "nothing of what was written is left");
        reached = written;
        assert!(new.maintenance.users(&PageRequest::default()).await.unwrap().items.is_empty());
    }
    let oldest = "SELECT min(message_no) FROM ironclaw.messages";
    let first: i64 = sqlx::query_scalar(oldest).fetch_one(&mut superuser).await.unwrap();
    let copied = copy(&old.maintenance, &new.maintenance, &selection(&ada)).await;
    assert_eq!(copied.tables.iter().find(|table| table.name == "messages").unwrap().rows, 40 * 50);
    assert_eq!(first, sqlx::query_scalar::<_, i64>(oldest).fetch_one(&mut superuser).await.unwrap(), "it began anew");
    whole(&new.maintenance).await;
}

async fn a_source_that_changed_since_is_copied_as_it_is_now() {
    let (old, new) = (file().await, server().await);
    let ada = user("acme", "ada");
    settle(&old.store, &ada, 20).await;
    old.store.apply(&ada, Change::new().with(setting("first"))).await.unwrap();
    let what = selection(&ada);
    let (far, mut is_far) = tokio::sync::mpsc::unbounded_channel();
    let copying = copy_store(&old.maintenance, &new.maintenance, &what, |progress| {
        if progress.rows > 500 {
            let _ = far.send(());
        }
    });
    tokio::select! {
        biased;
        _ = is_far.recv() => {}
        done = copying => panic!("it was not broken off: {done:?}"),
    }
    let (scope, page) = (&ada, PageRequest::default());
    // One more before the others, one less among them.
    old.store
        .apply(scope, Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: 1.into() }))
        .await
        .unwrap();
    let first = old.store.conversations().conversations(scope, &page).await.unwrap().items.pop().unwrap();
    old.store.apply(scope, Change::new().with(ConversationOp::Delete { id: first.id })).await.unwrap();
    let copied = copy(&old.maintenance, &new.maintenance, &what).await;
    assert_eq!(copied.tables.iter().find(|table| table.name == "messages").unwrap().rows, 19 * 50);
    whole(&new.maintenance).await;

    // Both went on: they are two users now, and neither is touched.
    old.store.apply(scope, Change::new().with(setting("old"))).await.unwrap();
    new.store.apply(scope, Change::new().with(setting("new"))).await.unwrap();
    assert_eq!(refusal(&old.maintenance, &new.maintenance, &what).await, StoreErrorKind::Conflict);
    let value = new.store.settings().setting(scope, &"place".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(value, "new");
}

async fn writing_while_it_is_copied_is_noticed() {
    let (old, new) = (file().await, server().await);
    let ada = user("acme", "ada");
    settle(&old.store, &ada, 10).await;
    let mut writing = Some((old.store.clone(), ada.clone(), tokio::runtime::Handle::current()));
    let what = selection(&ada);
    let copying = copy_store(&old.maintenance, &new.maintenance, &what, |_| {
        if let Some((store, ada, runtime)) = writing.take() {
            let write = async move { store.apply(&ada, Change::new().with(setting("meanwhile"))).await };
            tokio::task::block_in_place(|| runtime.block_on(write)).unwrap();
        }
    });
    copying.await.unwrap();
    let value = new.store.settings().setting(&ada, &"place".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(value, "meanwhile");
    whole(&new.maintenance).await;
}

async fn what_operators_do_while_it_is_copied_is_noticed() {
    let (old, new) = (file().await, server().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let (bob, sample) = &samples[1];
    let hold = SystemChange::PlaceHold {
        hold: Hold::new(
            HoldId::make(&SystemClock),
            bob.tenant().clone(),
            bob.owner().clone(),
            "case 13",
            SystemClock.now(),
        ),
    };
    let suspension = SystemChange::PutUser {
        tenant: bob.tenant().clone(),
        owner: bob.person().clone(),
        status: UserStatus::Suspended,
        roles: Vec::new(),
    };
    let mut changing = Some((old.maintenance.clone(), [hold, suspension], tokio::runtime::Handle::current()));
    let what = selection(bob);
    let copying = copy_store(&old.maintenance, &new.maintenance, &what, |_| {
        if let Some((maintenance, changes, runtime)) = changing.take() {
            let change = async move {
                for change in changes {
                    maintenance.apply_system(change).await.unwrap();
                }
            };
            tokio::task::block_in_place(|| runtime.block_on(change));
        }
    });
    copying.await.unwrap();
    assert_eq!(new.maintenance.holds(&PageRequest::default()).await.unwrap().items.len(), 1);
    let users = new.maintenance.users(&PageRequest::default()).await.unwrap().items;
    assert_eq!(users[0].1.status, UserStatus::Suspended);
    assert_eq!(seen(&new.store, bob, sample).await, seen(&old.store, bob, sample).await);
}

async fn two_copies_and_a_discard_at_once_leave_a_whole_user_or_none() {
    let (old, new) = (file().await, server().await);
    let ada = user("acme", "ada");
    settle(&old.store, &ada, 10).await;
    let what = selection(&ada);
    for round in 0..4 {
        let copies = futures::future::join(
            copy_store(&old.maintenance, &new.maintenance, &what, |_| {}),
            copy_store(&old.maintenance, &new.maintenance, &what, |_| {}),
        );
        let discard = async {
            tokio::time::sleep(Duration::from_millis(60 * round)).await;
            discard_unfinished_copies(&new.maintenance).await
        };
        let ((one, other), _) = futures::future::join(copies, discard).await;
        for copied in [&one, &other].into_iter().filter_map(|copied| copied.as_ref().ok()) {
            assert_eq!(copied.tables.iter().find(|table| table.name == "messages").unwrap().rows, 500);
        }
        let users = new.maintenance.users(&PageRequest::default()).await.unwrap().items.len();
        assert_eq!(users == 1, one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        if users == 1 {
            // Used from now on, and never touched by a copy again.
            new.store.apply(&ada, Change::new().with(setting("new"))).await.unwrap();
        }
        let _ = discard_unfinished_copies(&new.maintenance).await;
        whole(&new.maintenance).await;
        if users == 1 {
            assert!(new.store.settings().setting(&ada, &"place".parse().unwrap()).await.unwrap().is_some());
            return;
        }
    }
    copy(&old.maintenance, &new.maintenance, &what).await;
}

async fn what_a_hold_keeps_comes_along() {
    let (old, new) = (file().await, server().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let (ada, _) = &samples[0];
    // Given up under the hold: its bytes stay.
    let path = old.store.workspace().entries(ada, None, &PageRequest::default()).await.unwrap().items.remove(0).path;
    let activate = SystemChange::PutUser {
        tenant: ada.tenant().clone(),
        owner: ada.person().clone(),
        status: UserStatus::Active,
        roles: Vec::new(),
    };
    old.maintenance.apply_system(activate).await.unwrap();
    let (version, bytes) = (VersionId::make(&SystemClock), b"another text".to_vec());
    let begin = NewVersion::new(version, path);
    let give_up = Change::new()
        .with(WorkspaceOp::BeginVersion { version: begin })
        .with(WorkspaceOp::PutParts { version, parts: vec![Part::new(0, bytes)] })
        .with(WorkspaceOp::Abandon { version });
    old.store.apply(ada, give_up).await.unwrap();
    let copied = copy(&old.maintenance, &new.maintenance, &selection(ada)).await;
    let versions = copied.tables.iter().find(|table| table.name == "entry_versions").unwrap().rows;
    assert_eq!(versions, 3, "the visible one, the one given up and one that is being written");
    whole(&new.maintenance).await;
}

async fn whoever_was_erased_does_not_come_back() {
    let (old, new) = (file().await, server().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let (bob, _) = &samples[1];
    copy(&old.maintenance, &new.maintenance, &selection(bob)).await;
    let erase = SystemChange::EraseUser {
        tenant: bob.tenant().clone(),
        owner: bob.owner().clone(),
        id: ErasureId::make(&SystemClock),
    };
    new.maintenance.apply_system(erase).await.unwrap();
    assert_eq!(refusal(&old.maintenance, &new.maintenance, &selection(bob)).await, StoreErrorKind::Conflict);
    assert!(new.maintenance.users(&PageRequest::default()).await.unwrap().items.is_empty());
    // What failed is told of, too.
    let told = old.maintenance.system_events(&PageRequest::default()).await.unwrap().items;
    assert_eq!(told.last().unwrap().event.outcome, Outcome::Failed);
    assert_eq!(told.last().unwrap().event.action, Action::UserCopyOut);
}

async fn a_store_is_not_copied_to_itself() {
    let (old, new) = (file().await, server().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let Place::File(folder) = &old._place else { unreachable!() };
    let again = LibsqlStore::open(folder.path().join("agent.db")).await.unwrap().maintenance(operator());
    for what in [selection(&samples[1].0), Selection::Everything] {
        let refused = refusal(&old.maintenance, &again, &what).await;
        assert!(matches!(refused, StoreErrorKind::InvalidInput(_)), "{refused:?}");
    }
    copy(&old.maintenance, &new.maintenance, &selection(&samples[1].0)).await;
    let refused = refusal(&new.maintenance, &new.maintenance.clone(), &selection(&samples[1].0)).await;
    assert!(matches!(refused, StoreErrorKind::InvalidInput(_)), "{refused:?}");
}

async fn what_does_not_fit_is_refused_before_anything_is_written() {
    let (old, new) = (file().await, server().await);
    let samples = furnish(&old.store, &old.maintenance).await;
    let (ada, _) = &samples[0];
    let nobody = selection(&user("acme", "nobody"));
    assert_eq!(refusal(&old.maintenance, &new.maintenance, &nobody).await, StoreErrorKind::NotFound);
    // Another user of the same name.
    new.store.apply(ada, Change::new().with(setting("own"))).await.unwrap();
    assert_eq!(refusal(&old.maintenance, &new.maintenance, &selection(ada)).await, StoreErrorKind::AlreadyExists);
    assert_eq!(
        refusal(&old.maintenance, &new.maintenance, &Selection::Everything).await,
        StoreErrorKind::AlreadyExists
    );
    // Another vault could not open the user's secrets.
    for house in [&old.maintenance as &dyn Maintenance, &new.maintenance] {
        house.apply_system(vault(ada.tenant())).await.unwrap();
    }
    let (bob, _) = &samples[1];
    assert_eq!(refusal(&old.maintenance, &new.maintenance, &selection(bob)).await, StoreErrorKind::Conflict);
    // Operators who did something of their own.
    let (other, quota) = (server().await, ada.tenant().clone());
    let role = UserRole::new("own".parse().unwrap(), Vec::new(), SystemClock.now());
    other.maintenance.apply_system(SystemChange::PutRole { tenant: quota, role }).await.unwrap();
    let refused = refusal(&old.maintenance, &other.maintenance, &Selection::Everything).await;
    assert_eq!(refused, StoreErrorKind::AlreadyExists);
    assert!(other.maintenance.users(&PageRequest::default()).await.unwrap().items.is_empty());
}
