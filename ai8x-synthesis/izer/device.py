"""The devices as frozen data. Numbers in comments are sections of the device's hardware reference."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Device:
    """Sizes, limits and addresses of one accelerator; addresses are bytes, data memory sizes are 32-bit words.

    `base` is the address of group 0, which AI85 calls quadrant; `bus_offset` is its distance from the accelerator's
    address on the bus, where AI85 has registers of the whole accelerator: `always_on` is the offset of AON_CTL there.
    A convolution may have one of `kernels`, a one-dimensional one a length of `lengths`.
    """

    name: str
    number: int

    base: int
    bus_offset: int
    always_on: int
    group_stride: int
    groups: int
    group_processors: int

    layer_registers: int  # offset of register 0, layer 0 in a group
    register_stride: int
    tram: int
    tram_stride: int
    tram_entries: int
    mask_ram: int
    mask_ram_stride: int
    mask_columns: int
    bias_ram: int
    bias_entries: int
    data_memory: int
    instance_stride: int
    instance_words: int

    max_layers: int
    max_channels: int
    max_counter: int
    max_pad: int
    max_window: int
    max_passes: int
    kernels: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]
    weight_bits: tuple[int, ...]
    shifts: range  # of a layer's sums, in bits to the left
    bias_unit: int  # what hardware multiplies a bias with
    startup_clocks: int  # before the first layer
    ready_sel: int  # wait states of the bus, as programs choose them: bits of CTL

    @property
    def processors(self) -> int:
        """Number of processors in all groups."""
        return self.groups * self.group_processors

    @property
    def instance_bytes(self) -> int:
        """Capacity of one data memory instance."""
        return 4 * self.instance_words

    def at(self, address: int) -> "Device":
        """The same device with its accelerator at another address of the bus."""
        return replace(self, base=address + self.bus_offset)

    @property
    def always_on_control(self) -> int:
        """Address of AON_CTL (AI85 hardware reference 3.2)."""
        return self.base - self.bus_offset + self.always_on

    def group(self, group: int) -> int:
        """Address of a group; its first register is CTL (2.1)."""
        return self.base + self.group_stride * group

    def layer_register(self, group: int, register: int, layer: int) -> int:
        """Address of a layer register; registers are grouped by register, not by layer (2.2, LREG)."""
        return self.group(group) + self.layer_registers + self.register_stride * register + 4 * layer

    def kernel(self, processor: int, column: int) -> int:
        """Address of word 0 of a mask RAM entry; `processor` counts through all groups (2.2, MRAM)."""
        group, local = divmod(processor, self.group_processors)
        return self.group(group) + self.mask_ram + self.mask_ram_stride * local + 16 * column

    def bias(self, group: int, entry: int) -> int:
        """Address of a bias RAM entry (2.2, BRAM)."""
        return self.group(group) + self.bias_ram + 4 * entry

    def data(self, instance: int, word: int) -> int:
        """Address of a data memory word; `instance` counts through all groups (2.2, SRAM)."""
        group, local = divmod(instance, self.group_processors // 4)
        return self.group(group) + self.data_memory + self.instance_stride * local + 4 * word

    def tram_entry(self, group: int, processor: int, entry: int) -> int:
        """Address of a TRAM entry; `processor` counts within the group (2.2, TRAM)."""
        return self.group(group) + self.tram + self.tram_stride * processor + 4 * entry


AI84 = Device(
    name="AI84",
    number=84,
    base=0x50100000,  # 2.1
    bus_offset=0,
    always_on=0,
    group_stride=0x100000,
    groups=4,  # 1.1
    group_processors=16,
    layer_registers=0x10,  # 2.1, 3.2
    register_stride=0x80,
    tram=0x800,  # 2.1, 2.2
    tram_stride=0x400,
    tram_entries=256,
    mask_ram=0x4800,
    mask_ram_stride=0x800,
    mask_columns=128,
    bias_ram=0xC800,
    bias_entries=256,
    data_memory=0x10000,
    instance_stride=0x4000,
    instance_words=4096,
    max_layers=32,  # 9.1
    max_channels=64,
    max_counter=256,
    max_pad=2,
    max_window=4,
    max_passes=1,
    kernels=((3, 3),),
    lengths=(9,),
    weight_bits=(8,),
    shifts=range(0, 1),
    bias_unit=1,  # 1.4
    startup_clocks=0,
    ready_sel=3,  # 7.3
)

AI85 = Device(
    name="AI85",
    number=85,
    base=0x50100000,  # 2.1
    bus_offset=0x100000,
    always_on=0x1000,
    group_stride=0x400000,
    groups=4,  # 1.1
    group_processors=16,
    layer_registers=0x10,  # 3.1
    register_stride=0x80,
    tram=0x10000,  # 2.1
    tram_stride=0x4000,
    tram_entries=3072,
    mask_ram=0x80000,
    mask_ram_stride=0x4000,
    mask_columns=768,
    bias_ram=0x8000,
    bias_entries=512,
    data_memory=0x300000,
    instance_stride=0x8000,
    instance_words=8192,
    max_layers=32,  # 1.2
    max_channels=1024,
    max_counter=1024,
    max_pad=2,
    max_window=16,
    max_passes=16,
    kernels=((1, 1), (3, 3)),
    lengths=tuple(range(1, 10)),
    weight_bits=(1, 2, 4, 8),
    shifts=range(-15, 16),  # 1.4
    bias_unit=128,
    startup_clocks=1,  # 14.1
    ready_sel=0,  # 3.3
)

DEVICES = {device.number: device for device in (AI84, AI85)}
