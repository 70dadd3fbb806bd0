package shoal.verticles.quic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.channel.socket.DatagramPacket;
import io.netty.util.ReferenceCountUtil;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.io.IOException;
import java.net.InetSocketAddress;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import shoal.verticles.client.Blocking;

class SegmentedSendingTest {
    private static final InetSocketAddress SOMEBODY = new InetSocketAddress("127.0.0.1", 9);

    private final Vertx vertx = Vertx.vertx(new VertxOptions().setPreferNativeTransport(true));

    @AfterEach
    void close() {
        Blocking.await(vertx.close());
    }

    @Test
    void onAPathWithDelayEachGoesByItself() {
        assertEquals(0, new SegmentedSending(vertx, UdpTuning.NETWORK_PAYLOAD_BYTES).maxNumSegments());
    }

    @Test
    void whatTheSystemRefusesIsNotTriedAgain() {
        var sending = new SegmentedSending(vertx, UdpTuning.LOOPBACK_PAYLOAD_BYTES);
        assumeTrue(sending.maxNumSegments() > 0, "this system knows no UDP_SEGMENT");
        var system = new ChannelOutboundHandlerAdapter() {
            @Override
            public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
                ReferenceCountUtil.release(message);
                promise.setFailure(new IOException("sendmsg(..) failed: Invalid argument"));
            }
        };
        var channel = new EmbeddedChannel(system, sending.new Watch());
        channel.write(new DatagramPacket(Unpooled.wrappedBuffer(new byte[10]), SOMEBODY));
        assertEquals(4, sending.maxNumSegments(), "one by itself says nothing of those together");
        channel.write(sending.newPacket(Unpooled.wrappedBuffer(new byte[10]), 5, SOMEBODY));
        assertEquals(0, sending.maxNumSegments());
    }
}
