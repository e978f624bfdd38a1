# SPDX-License-Identifier: GPL-2.0-only
"""What is checked of a guest that moves: at each move, and of its traffic in the end."""

from nested import carry
from nested.migrate import QEMU_READS


def hop(t, journey, target, mode, name=""):
    """One migration; its checks. NAME: of it, if the back ends aren't what matters."""
    source = journey.guest.backend
    name = name or f"{source} to {target}{', post-copy' if mode else ''}"
    facts = journey.hop(target, post=bool(mode), compare=not mode)
    stats = facts.pop("stats")
    differ = facts.pop("differ", None)
    print(f"# {name}: {facts} logged={stats.get('logged')}", flush=True)
    t.check(f"{name}: it moves", True)
    if differ is not None:
        t.check(f"{name}: all memory is equal at the switch", not differ,
                f"{len(differ)} pages differ: {' '.join(f'{at:#x}' for at in differ[:12])}")
    if source != "stock":
        t.check(f"{name}: the source logged its writes, all of them",
                stats.get("logged", 0) > 0 and stats.get("log_failures") == 0, stats)
    journey.under_way()
    counts = journey.traffic.counts()
    t.equal(f"{name}: traffic goes on, nothing in it is wrong", carry.wrong(counts), {})


def ending(t, journey, name):
    """Every frame is accounted for."""
    found = journey.finish()
    guest, net = found["guest"], found["net"]
    print(f"# {name}: {found}", flush=True)
    for stay in journey.stays:
        print(f"# {name}: {stay}", flush=True)
    t.equal(f"{name}: what the guest sent came, each once", net["received"] + net["dropped"],
            guest["sent"])
    ours = [stay for stay in journey.stays if "delivered" in stay]
    stock = [stay for stay in journey.stays if "delivered" not in stay]
    for stay in ours:
        read = stay["taken"] - stay["delivered"] - stay["given_up"]
        t.check(f"{name}: on {stay['backend']}: what left the tap was delivered",
                0 <= read <= QEMU_READS and not stay["given_up"], stay)
    # Stock doesn't count: what QEMU read for itself can't be told from what stock lost.
    came = guest["received"] + guest["dropped"] - sum(stay["delivered"] for stay in ours)
    missing = sum(stay["taken"] for stay in stock) - came
    t.check(f"{name}: what was delivered came, each once",
            0 <= missing <= QEMU_READS * len(stock), f"{missing} missing, {journey.stays}")
    t.equal(f"{name}: nothing twice, nothing changed", carry.wrong({"guest": guest, "net": net}), {})
