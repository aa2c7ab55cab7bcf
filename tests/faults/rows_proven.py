"""Rows that tests elsewhere prove already: they are run, not copied."""

from tests.faults.rows import Scene, proven_by, row


@row(
    32, "truncated and garbled pixel data, sizes that are lies", "the job is rejected, others go on"
)
def _garbled(scene: Scene) -> str:
    return proven_by(scene, "tests/infer/test_codecs.py", "tests/infer/test_pixels.py")


@row(37, "a wrong AE title or address, plain text on the TLS port", "rejected for good")
def _strangers(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/receive/test_peers.py",
        "tests/receive/test_dimse.py::test_plain_text_on_the_tls_port_is_turned_away",
        "tests/receive/test_dimse.py::test_a_silent_client_does_not_hold_up_tls",
    )


@row(38, "tokens: none, forged, expired, of another audience, weak keys", "401 or 403")
def _tokens(scene: Scene) -> str:
    return proven_by(scene, "tests/serve/test_oidc.py", "tests/serve/test_tokens.py")


@row(45, "a model that computes wrong numbers", "its golden test fails; it takes no work")
def _wrong_numbers(scene: Scene) -> str:
    return proven_by(scene, "tests/infer/test_golden.py")


@row(49, "own results come back from the PACS", "stored, never routed")
def _returned(scene: Scene) -> str:
    ledger = "tests/contracts/test_ledger.py"
    return proven_by(
        scene,
        f"{ledger}::test_a_result_that_comes_back_is_ours",
        f"{ledger}::test_an_object_that_names_us_as_its_maker_is_ours",
        f"{ledger}::test_our_object_in_a_series_of_others_does_not_wake_it",
    )


@row(50, "mistakes in the configuration", "exit 78 and a sentence for each")
def _configuration(scene: Scene) -> str:
    return proven_by(scene, "tests/cli/test_run.py", "tests/config/test_read.py")


@row(51, "SIGTERM; roles die, fall silent, do not stop", "ends in good order, or is started again")
def _supervised(scene: Scene) -> str:
    return proven_by(scene, "tests/test_supervise.py", "tests/test_roles.py")


@row(42, "memory runs out on the device, at every rung and in all", "smaller batches; else later")
def _no_memory(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/tasks/test_segment.py::test_short_memory_means_smaller_batches_and_the_same_result",
        "tests/tasks/test_segment.py::test_no_memory_at_all_is_for_later",
        "tests/tasks/test_segment.py::test_lack_of_memory_has_many_names",
        "tests/tasks/test_detect.py::test_short_memory_changes_nothing_but_the_time",
        "tests/infer/test_worker.py",
    )


@row(44, "a GPU says nothing, or is gone", "known by its silence; the node goes on")
def _no_gpu(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/infer/test_gpu.py",
        "tests/contracts/test_executor.py::test_a_worker_that_cannot_load_takes_no_work",
        "tests/contracts/test_executor.py::"
        "test_a_worker_that_dies_while_loading_is_tried_again_with_pauses",
    )


@row(53, "the audit repository is away, or shows a wrong certificate", "kept; never in clear")
def _no_repository(scene: Scene) -> str:
    return proven_by(scene, "tests/watch/test_syslog.py", "tests/contracts/test_audit.py")
