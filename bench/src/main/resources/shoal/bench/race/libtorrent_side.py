# One side of a transfer by libtorrent's Python binding, for ./shoal bench transfer.
#   libtorrent_side.py seed FILE TORRENT PIECE_BYTES ENCRYPTED PORT   makes a v2 torrent, seeds it, prints "ready <info-hash>"
#   libtorrent_side.py fetch TORRENT OUT ENCRYPTED PORT               fetches it from 127.0.0.1:PORT, ends when all is verified
#   libtorrent_side.py make FILE TORRENT PIECE_BYTES                  only makes it, prints its v2 info-hash
import os
import sys
import time

import libtorrent as lt


def session(encrypted, listen):
    policy = lt.enc_policy.forced if encrypted else lt.enc_policy.disabled
    return lt.session({
        "listen_interfaces": listen,
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        # its own UDP transport is tried first else, and reaches a tenth of TCP on loopback
        "enable_outgoing_utp": False, "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True,
        "in_enc_policy": int(policy), "out_enc_policy": int(policy),
        "allowed_enc_level": int(lt.enc_level.rc4 if encrypted else lt.enc_level.both),
        "prefer_rc4": encrypted,
        "alert_mask": 0,
    })


def make(path, torrent, piece_bytes):
    storage = lt.file_storage()
    lt.add_files(storage, path)
    creator = lt.create_torrent(storage, piece_bytes, lt.create_torrent.v2_only)
    lt.set_piece_hashes(creator, os.path.dirname(path))
    entry = creator.generate()
    with open(torrent, "wb") as out:
        out.write(lt.bencode(entry))
    return lt.torrent_info(torrent)


def main():
    if sys.argv[1] == "make":
        print(make(sys.argv[2], sys.argv[3], int(sys.argv[4])).info_hashes().v2)
    elif sys.argv[1] == "seed":
        path, torrent, piece_bytes, encrypted, port = sys.argv[2:7]
        info = make(path, torrent, int(piece_bytes))
        running = session(encrypted == "yes", "127.0.0.1:" + port)
        handle = running.add_torrent({"ti": info, "save_path": os.path.dirname(path), "flags": lt.torrent_flags.seed_mode})
        print("ready", info.info_hashes().v2, flush=True)
        while True:
            time.sleep(1)
    else:
        torrent, out, encrypted, port = sys.argv[2:6]
        running = session(encrypted == "yes", "127.0.0.1:0")
        handle = running.add_torrent({"ti": lt.torrent_info(torrent), "save_path": out})
        handle.connect_peer(("127.0.0.1", int(port)))
        while not handle.status().is_seeding:
            if handle.status().errc.value() != 0:
                sys.exit(handle.status().errc.message())
            time.sleep(0.02)
        handle.flush_cache()
        running.pause()


main()
