"""Every operation a plan's step may name."""

from __future__ import annotations

from collections.abc import Mapping

from disinto_tui.runs.idle import WaitIdle
from disinto_tui.runs.ops_adopt import KeepOriginals, PutBack, RescueData
from disinto_tui.runs.ops_approval import RequestMerge, RequestProtection
from disinto_tui.runs.ops_build import BuildImage
from disinto_tui.runs.ops_doctor import Modes, RemoveLeftovers
from disinto_tui.runs.ops_files import MakeDirectories, PutFiles
from disinto_tui.runs.ops_images import PushImage, TagImage
from disinto_tui.runs.ops_keep import KeepImage, NameImage, RecordGood
from disinto_tui.runs.ops_old_stack import OldStack
from disinto_tui.runs.ops_request import RequestBranch, RequestFile, RequestPull
from disinto_tui.runs.ops_restart import RestartAgents
from disinto_tui.runs.ops_result import CommitResult
from disinto_tui.runs.ops_retire import RetireFiles
from disinto_tui.runs.ops_script import Script
from disinto_tui.runs.ops_stack import (
    CheckCompose,
    Down,
    PullImages,
    RegistryLogin,
    RemoveServices,
    RestoreRunning,
    Up,
    WaitHealthy,
)
from disinto_tui.runs.ops_switch import Recreate, SameTag, WatchSwitch
from disinto_tui.runs.ops_tags import PushMirrors, TagMain
from disinto_tui.runs.release import ReleasePreflight
from disinto_tui.runs.runner import Operation

OPERATIONS: Mapping[str, Operation] = {
    "directories": MakeDirectories(),
    "files": PutFiles(),
    "compose-config": CheckCompose(),
    "registry-login": RegistryLogin(),
    "pull": PullImages(),
    "up": Up(),
    "restore-running": RestoreRunning(),
    "remove-services": RemoveServices(),
    "healthy": WaitHealthy(),
    "down": Down(),
    "wait-idle": WaitIdle(),
    "same-tag": SameTag(),
    "name-image": NameImage(),
    "keep-image": KeepImage(),
    "modes": Modes(),
    "remove-leftovers": RemoveLeftovers(),
    "recreate": Recreate(),
    "watch-switch": WatchSwitch(),
    "record-good": RecordGood(),
    "script": Script(),
    "tag-main": TagMain(),
    "push-mirrors": PushMirrors(),
    "build-image": BuildImage(),
    "tag-image": TagImage(),
    "push-image": PushImage(),
    "restart-agents": RestartAgents(),
    "release-preflight": ReleasePreflight(),
    "commit-result": CommitResult(),
    "keep-originals": KeepOriginals(),
    "old-stack": OldStack(),
    "rescue-data": RescueData(),
    "put-back": PutBack(),
    "retire-files": RetireFiles(),
    "request-protection": RequestProtection(),
    "request-branch": RequestBranch(),
    "request-file": RequestFile(),
    "request-pull": RequestPull(),
    "request-merge": RequestMerge(),
}
