package shoal.codec.swarm;

/** What kind of source a peer is, in the order in which sources are asked. */
public enum SourceClass {
    /** Another node of the swarm. */
    PEER,
    /** The rendezvous, or whoever has the first copy: spared where peers can do it. */
    ORIGIN,
    /** A plain web server: the last resort. */
    WEB
}
