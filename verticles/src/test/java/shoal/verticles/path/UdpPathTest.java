package shoal.verticles.path;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Endpoint;

class UdpPathTest {
    private static final int COUNT = 200;

    @Test
    void datagramsGoBothWaysAndTakeTheDelay() throws IOException {
        try (DatagramSocket target = socket();
                DatagramSocket sender = socket();
                UdpPath path = new UdpPath(at(target), UdpPath.Conditions.of(0, 40), 1)) {
            long start = System.nanoTime();
            send(sender, path.entrance(), 7);
            DatagramPacket there = receive(target);
            assertEquals(7, ByteBuffer.wrap(there.getData()).getInt());
            assertTrue(System.nanoTime() - start >= TimeUnit.MILLISECONDS.toNanos(40));
            send(target, new Endpoint("127.0.0.1", there.getPort()), 8);
            DatagramPacket back = receive(sender);
            assertEquals(8, ByteBuffer.wrap(back.getData()).getInt());
            assertEquals(path.entrance().port(), back.getPort());
            assertTrue(System.nanoTime() - start >= TimeUnit.MILLISECONDS.toNanos(80));
        }
    }

    @Test
    void losesTheShareThatItIsTold() throws IOException {
        try (DatagramSocket target = socket();
                DatagramSocket sender = socket();
                UdpPath path = new UdpPath(at(target), UdpPath.Conditions.of(0.2, 0), 5)) {
            int came = 0;
            for (int i = 0; i < COUNT; i++) { // one after the other: no buffer runs over
                send(sender, path.entrance(), i);
                long before = path.lostDatagrams() + path.passedBytes() / 4;
                while (before <= i) {
                    Thread.onSpinWait();
                    before = path.lostDatagrams() + path.passedBytes() / 4;
                }
            }
            target.setSoTimeout(200);
            try {
                while (true) {
                    receive(target);
                    came++;
                }
            } catch (SocketTimeoutException noMore) {
                assertEquals(COUNT - path.lostDatagrams(), came);
            }
            assertTrue(path.lostDatagrams() > 20 && path.lostDatagrams() < 60, "lost " + path.lostDatagrams());
        }
    }

    @Test
    void whatIsNoConditionIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> UdpPath.Conditions.of(1.1, 0));
        assertThrows(IllegalArgumentException.class, () -> UdpPath.Conditions.of(Double.NaN, 0));
        assertThrows(IllegalArgumentException.class, () -> UdpPath.Conditions.of(0, -1));
        assertThrows(IllegalArgumentException.class, () -> new UdpPath.Conditions(0, 0, -1, 0));
    }

    private static DatagramSocket socket() throws IOException {
        var socket = new DatagramSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        socket.setSoTimeout(20_000);
        return socket;
    }

    private static Endpoint at(DatagramSocket socket) {
        return new Endpoint("127.0.0.1", socket.getLocalPort());
    }

    private static void send(DatagramSocket socket, Endpoint to, int value) throws IOException {
        byte[] bytes = ByteBuffer.allocate(4).putInt(value).array();
        socket.send(new DatagramPacket(bytes, 4, new InetSocketAddress(to.host(), to.port())));
    }

    private static DatagramPacket receive(DatagramSocket socket) throws IOException {
        var packet = new DatagramPacket(new byte[64], 64);
        socket.receive(packet);
        return packet;
    }
}
