//! The suite of [`Store`] and [`Maintenance`].

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::case::{Capability, Case, Subject, cases};
use super::check::{Failure, Outcome};
use super::child::{Child, Request};
use crate::clock::{Clock, ManualClock, SystemClock, Timestamp};
use crate::maintenance::Maintenance;
use crate::scope::{Principal, Scope};
use crate::store::Store;

mod access;
mod acknowledged;
mod audit;
mod cancellation;
mod changes;
mod children;
mod concurrency;
mod conversations;
mod depth;
mod durability;
mod erasure;
mod ext;
mod faults;
mod fixtures;
mod holds;
mod in_spaces;
mod input;
mod isolation;
mod jobs;
mod leases;
mod listings;
mod neighbours;
mod paging;
mod paging_concurrent;
mod privacy;
mod processes;
mod races;
mod receipts;
mod reports;
mod sample;
mod search;
mod secrets;
mod settings;
mod snapshot;
mod spaces;
mod suspension;
mod system;
mod workspace;
mod world;

pub(crate) use in_spaces::{InSpaces, Spaced, inside, runs_in_spaces, spaced};
pub use sample::Sample;

/// What an implementor of [`Store`] writes to run its suite.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// What this harness can do beyond opening stores.
    fn capabilities(&self) -> &'static [Capability];

    /// Names a new, empty place for a store: a path, a database. The harness removes it when it is dropped.
    async fn place(&self) -> Result<String, Failure>;

    /// Opens the store at a place; the first time it makes one. With [`Capability::Reopen`] it is opened again after
    /// it was closed, with [`Capability::Processes`] by several processes at once, which all have a harness of their
    /// own. Without [`Capability::ManualClock`] the clock may be left aside.
    async fn open(&self, place: &str, clock: Arc<dyn Clock>) -> Result<Opened, Failure>;

    /// The points at which writing can be made to fail, with [`Capability::Faults`]: for a database its tables.
    async fn fault_points(&self, _place: &str) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    /// Makes every write at this point fail from now on (or none any more), as a full disk would make it, with
    /// [`Capability::Faults`].
    async fn fail_at(&self, _place: &str, _point: Option<&str>) -> Result<(), Failure> {
        Err(Failure::new("this harness can't inject faults"))
    }

    /// Changes the stored audit trail of the owner of `scope` behind the store's back, with
    /// [`Capability::Tampering`].
    async fn tamper(&self, _place: &str, _scope: &Scope, _tampering: Tampering) -> Result<(), Failure> {
        Err(Failure::new("this harness can't tamper"))
    }

    /// Everything that is stored at a place, under names that say where: the rows of all tables and, if they are the
    /// store's own, the bytes of all files, with [`Capability::Inspection`].
    async fn stored(&self, _place: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        Err(Failure::new("this harness can't look at what is stored"))
    }

    /// Does what an operator does at a place so that searches are fast, such as making indexes. By default there is
    /// nothing of the kind.
    async fn index(&self, _place: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Copies a user to another store, once as it should be and once so that it fails, with whatever else the
    /// implementation can do with a user beyond its traits. By default there is nothing of the kind.
    async fn copies(&self, _place: &str, _scope: &Scope) -> Result<(), Failure> {
        Ok(())
    }
}

/// An open store with its admin plane.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its admin plane.
    pub maintenance: Arc<dyn Maintenance>,
}

impl Opened {
    /// A store and its admin plane.
    pub fn new(store: Arc<dyn Store>, maintenance: Arc<dyn Maintenance>) -> Self {
        Self { store, maintenance }
    }
}

/// How to change a stored audit trail, which has at least five events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tampering {
    /// Sets the outcome of the event with this sequence number to another.
    ChangeOutcome(u64),
    /// Sets the time of the event with this sequence number a second later.
    ChangeTime(u64),
    /// Deletes the event with this sequence number, which is not the last.
    Delete(u64),
    /// Exchanges the sequence numbers of this event and the next.
    Swap(u64),
    /// Changes the stored private part of the event with this sequence number.
    ChangePrivate(u64),
}

/// The cases, by category.
pub(crate) fn cases() -> Vec<Case<dyn StoreHarness>> {
    let cases = cases![dyn StoreHarness;
        conversations {
            absent_is_none, round_trips_every_field, sequence_counts_from_one, rename_changes_title_and_version,
            create_twice_is_refused, message_id_twice_is_refused, delete_removes_messages_and_jobs,
            unknown_conversation_is_not_found, recent_messages_are_the_last_in_order,
            messages_are_read_backwards, newest_first,
            keeps_a_message_of_a_megabyte, keeps_images_and_documents, search_finds_users_and_assistants, search_ranks_by_bm25,
            search_forgets_what_is_deleted, search_takes_any_query,
        }
        ext {
            a_title_is_read_and_changed, an_export_reads_back_whole, a_stream_gives_what_the_pages_hold,
            a_setting_is_named_by_text,
        }
        workspace {
            absent_is_none, round_trips_every_field, staged_version_is_invisible, publish_replaces_at_once,
            parts_must_follow_each_other, publish_checks_size_and_hash, published_version_takes_no_parts,
            abandoned_version_is_gone, content_is_cut_at_the_end, empty_file_is_kept, keeps_any_bytes,
            model_must_be_registered, model_dimensions_never_change, prefix_ends_at_a_slash, delete_removes_chunks,
            chunks_come_in_the_order_asked, replaced_atomically_for_readers,
        }
        search {
            text_ranks_by_bm25, text_takes_any_query, text_order_is_deterministic, vectors_rank_by_cosine,
            vector_ties_are_in_order_of_chunks, zero_vectors_are_similar_to_nothing, wrong_vectors_are_refused,
            two_models_side_by_side, prefix_filters, limit_is_kept, deleted_is_not_found,
        }
        jobs {
            absent_is_none, round_trips_every_field, events_count_from_one, claim_is_exclusive,
            claim_is_exclusive_among_many, expired_claim_is_taken_over [ManualClock], ended_job_never_changes,
            filters, delete_removes_all_in_it, unknown_job_is_not_found,
        }
        secrets {
            absent_is_none, round_trips_every_field, versions_count_from_one, wrong_version_number_is_a_conflict,
            uses_are_counted, data_keys_count_from_one, delete_removes_all_versions, a_version_is_destroyed, ordered_by_name,
            unknown_secret_or_key_is_not_found,
        }
        access {
            absent_is_none, round_trips_every_field, every_change_of_policy_counts_the_epoch,
            policies_of_a_time [ManualClock], revoking_is_dated, unknown_is_not_found, approvals_are_decided_once,
            lapsed_approval_is_a_conflict [ManualClock], an_id_is_given_once,
        }
        leases {
            uses_run_out, a_hundred_redeem_ten_uses, expired_is_refused [ManualClock], revoked_is_refused,
        }
        settings {
            absent_is_none, round_trips_every_value, put_counts_versions, delete_says_whether_it_was_there,
            quota_is_charged_until_it_is_used_up, unset_quota_is_unlimited, quota_is_never_overdrawn_by_many,
        }
        system {
            users_and_roles, role_must_exist, vault_is_made_once, root_key_wraps, holds_and_their_release, quotas,
            retention_policies, checkpoints, is_audited_under_the_operator, integrity_is_good,
        }
        suspension { suspended_user_writes_nothing, suspended_user_is_found_active_again }
        privacy {
            forget_removes_all_but_accounts, forgotten_chain_still_verifies, only_the_user_in_person_forgets,
            erase_removes_everything, erase_leaves_others, unknown_user_is_not_erased, hold_stops_every_deletion, released_hold_stops_nothing,
            retention_deletes_what_is_old [ManualClock], retention_respects_holds [ManualClock], idle_retention_leaves_no_event [ManualClock],
            retention_finds_what_gets_old_later [ManualClock],
            retention_bears_a_clock_that_goes_back [ManualClock], scrub_is_clean,
            much_is_forgotten_as_little_is, much_is_erased_as_little_is, a_long_conversation_is_deleted_as_a_short_one_is,
        }
        erasure { no_name_is_left [Inspection] }
        holds { hold_stops_overwriting, hold_lets_what_loses_nothing }
        depth { deeper_is_refused, the_deepest_is_read_back }
        reports {
            only_what_the_host_knows_is_reported, size_of_an_event_is_bounded, the_largest_event_is_kept,
            refused_change_leaves_few_events,
        }
        receipts { expired_key_is_free [ManualClock], expired_are_removed [ManualClock, Inspection] }
        changes {
            whole_or_nothing, empty_change_does_nothing, operations_see_those_before, receipt_numbers,
            row_version_is_required, row_version_zero_means_absent, policy_epoch_is_required, uses_left_is_required,
            no_legal_hold_is_required, quota_is_required, same_key_is_replayed, same_key_another_change_is_refused,
            keys_of_two_users_never_meet, failed_change_keeps_no_key, same_key_at_once_applies_once,
        }
        audit {
            every_operation_leaves_its_event, failure_is_audited, events_say_who_and_where, further_events_are_kept,
            chain_verifies, head_is_the_last_event, filters, nobody_has_no_chain, verify_finds_tampering [Tampering],
        }
        isolation {
            reads_of_another_owner, reads_of_another_tenant, writes_on_another_owners_rows,
            same_names_and_ids_never_meet, same_user_of_two_tenants_never_meets, forgetting_leaves_others,
            searches_find_as_if_alone,
        }
        neighbours { recall_depends_on_nobody_else }
        input {
            nul_is_refused_in_every_text, oversized_is_refused, malformed_is_refused, refused_input_writes_nothing,
            too_many_operations_are_refused, limits_themselves_are_accepted, the_longest_names_are_accepted,
            the_largest_vectors_are_accepted,
        }
        paging {
            every_listing_in_pages, cursors_of_nonsense_are_refused, cursors_of_other_listings_do_no_harm,
            a_full_last_page, prefixed_listings, long_paths,
        }
        paging_concurrent {
            rows_before_the_cursor_come_once, late_rows_with_lower_ids, deleted_between_pages, messages_while_appending,
            every_listing_while_rows_come, every_listing_while_rows_go, users_come_and_go,
        }
        concurrency {
            a_hundred_append_to_one_conversation, mixed_writers, many_users_count_apart,
            one_create_wins, row_version_lets_one_win, readers_see_whole_changes, chain_of_many_writers,
            failures_among_many_leave_nothing,
        }
        races {
            one_change_of_two_goes_through, a_vault_keeps_a_wrapping, nobody_holds_a_role_that_is_gone,
            a_hold_is_released_once, a_checkpoint_is_put_once, nobody_is_erased_twice_or_under_a_hold,
            no_event_names_the_erased, retention_brings_nobody_back [ManualClock],
        }
        acknowledged {
            nothing_is_deleted_after_a_hold, nothing_is_written_after_a_suspension, nothing_is_done_under_an_old_policy,
            no_use_is_taken_after_a_revocation, nothing_is_charged_beyond_a_lower_quota,
            nothing_is_deleted_after_a_policy [ManualClock],
        }
        cancellation {
            dropped_at_every_await, dropped_reads, dropped_among_others, dropped_erasures,
            dropped_retention [ManualClock], dropped_scrubs,
        }
        spaces {
            whoever_is_no_member_finds_nothing, a_name_is_one_space, roles_are_checked_in_the_write,
            memberships_keep_their_intervals, the_last_manager_stays, a_removed_member_writes_no_more,
            a_suspended_member_writes_nothing, each_member_has_keys_of_their_own, events_carry_the_members_pseudonym, whoever_is_erased_leaves_the_space,
            the_erased_are_named_nowhere [Inspection], operators_appoint_and_limit,
        }
        durability {
            reopened_shows_everything [Reopen], closed_store_refuses, closing_finishes_what_was_taken [Reopen],
            survives_kill [Reopen, Processes],
        }
        processes {
            both_append [Processes], both_see_the_others_files [Processes], both_claim [Processes],
            both_read_settings [Processes],
        }
        faults { fail_at_every_point [Faults], audit_fails_closed [Faults], replace_fails_whole [Faults] }
    ];
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "a case is listed twice");
    cases
}

/// The child's part of a case with two processes.
pub(crate) async fn child(harness: &dyn StoreHarness, request: &Request) -> Outcome {
    let opened = harness.open(&request.place, Arc::new(SystemClock)).await?;
    children::run(&*opened.store, request).await?;
    opened.store.close().await?;
    Ok(())
}

/// What cases are run against.
pub(crate) type StoreSubject = Subject<dyn StoreHarness>;

impl StoreSubject {
    /// A fresh store.
    pub(crate) async fn fresh(&self) -> Result<Instance, Failure> {
        let place = self.harness.place().await?;
        // The machine's time to begin with, so that a store with a clock of its own agrees about what has expired.
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        self.open(place, clock).await
    }

    /// The store at a place.
    pub(crate) async fn open(&self, place: String, clock: Arc<ManualClock>) -> Result<Instance, Failure> {
        // Behind one pointer more: what points to a clock, a store and an admin plane is one.
        let Opened { store, maintenance } = self.harness.open(&place, Arc::new(clock.clone())).await?;
        Ok(Instance { place, clock, store: Arc::new(store), maintenance: Arc::new(maintenance) })
    }

    /// Closes a store and opens it again.
    pub(crate) async fn reopen(&self, instance: Instance) -> Result<Instance, Failure> {
        instance.store.close().await?;
        let Instance { place, clock, store, maintenance } = instance;
        drop((store, maintenance));
        self.open(place, clock).await
    }

    /// Starts a second process that does a task on the same data.
    pub(crate) fn child(&self, instance: &Instance, task: &str, argument: serde_json::Value) -> Result<Child, Failure> {
        let (suite, place) = (self.suite.clone(), instance.place.clone());
        Request { suite, place, task: task.to_owned(), argument }.spawn()
    }
}

/// An open store.
pub(crate) struct Instance {
    /// Where it is.
    pub(crate) place: String,
    /// The time it reads, if it does.
    pub(crate) clock: Arc<ManualClock>,
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// Its admin plane.
    pub(crate) maintenance: Arc<dyn Maintenance>,
}

impl Instance {
    /// The time that the store reads.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The scope of this user of the default tenant.
pub(crate) fn user(name: &str) -> Result<Scope, Failure> {
    Ok(Scope::user(name)?)
}

/// The scope of this user of a tenant.
pub(crate) fn tenant_user(tenant: &str, name: &str) -> Result<Scope, Failure> {
    Ok(Scope::tenant_user(tenant, name)?)
}

/// The same scope with an agent acting.
pub(crate) fn with_agent(scope: &Scope, name: &str) -> Result<Scope, Failure> {
    Ok(scope.acting(Principal::agent(name)?))
}
