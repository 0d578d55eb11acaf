"""Distillation methods by name. A new one is a file here and a row in `METHODS`."""

from harkd.errors import unknown
from harkd.methods import (
    adain,
    aekd,
    amtml,
    at,
    atsc,
    average,
    bdkd,
    camkd,
    ce,
    ceskd,
    crd,
    dcm,
    dgkd,
    dkd,
    dml,
    dpk,
    ebkd,
    eskd,
    fitnet,
    fsp,
    indistill,
    iskd,
    kd,
    logitstd,
    mixkd,
    pkt,
    pskd,
    rkd,
    rkl,
    selfkd,
    simkd,
    skkd,
    sp,
    stats,
    takd,
    ummkd,
)
from harkd.methods.method import Method, Plan, Players

__all__ = ["METHODS", "Method", "Plan", "Players", "method"]

METHODS: dict[str, Method] = {
    "ce": ce.METHOD,
    "kd": kd.METHOD,
    "eskd": eskd.METHOD,
    "rkl": rkl.METHOD,
    "logitstd": logitstd.METHOD,
    "dkd": dkd.METHOD,
    "mixkd": mixkd.METHOD,
    "iskd": iskd.METHOD,
    "selfkd": selfkd.METHOD,
    "fitnet": fitnet.METHOD,
    "stats": stats.METHOD,
    "adain": adain.METHOD,
    "at": at.METHOD,
    "fsp": fsp.METHOD,
    "indistill": indistill.METHOD,
    "dpk": dpk.METHOD,
    "pkt": pkt.METHOD,
    "rkd": rkd.METHOD,
    "skkd": skkd.METHOD,
    "sp": sp.METHOD,
    "takd": takd.METHOD,
    "dgkd": dgkd.METHOD,
    "ceskd": ceskd.METHOD,
    "average": average.METHOD,
    "ebkd": ebkd.METHOD,
    "aekd": aekd.METHOD,
    "camkd": camkd.METHOD,
    "amtml": amtml.METHOD,
    "pskd": pskd.METHOD,
    "crd": crd.METHOD,
    "bdkd": bdkd.METHOD,
    "dml": dml.METHOD,
    "dcm": dcm.METHOD,
    "simkd": simkd.METHOD,
    "atsc": atsc.METHOD,
    "ummkd": ummkd.METHOD,
}


def method(key: str) -> Method:
    """A method by name."""
    if key not in METHODS:
        raise unknown("method", key, METHODS)
    return METHODS[key]
