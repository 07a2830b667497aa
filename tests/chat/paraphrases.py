"""Questions as visitors of a shop put them, written for these tests: one tuple a meaning."""

# fmt: off
PARAPHRASES = (
    ("Do you ship to Norway?", "Can I get my order delivered to Norway?",
     "is delivery to norway possible", "Shipping to Norway?"),
    ("Do you ship to Switzerland?", "Can you deliver to Switzerland?", "delivery switzerland possible?"),
    ("How do I reset my password?", "I forgot my password, what now?",
     "password reset not working how to", "Where can I change my password?"),
    ("Can I pay with PayPal?", "Is PayPal accepted?", "do you take paypal", "Which way can I pay, is PayPal one?"),
    ("Do you sell gift cards?", "Can I buy a gift voucher?",
     "gift card available?", "I want to give a voucher as a present"),
    ("What are your opening hours on Sunday?", "Are you open on Sundays?",
     "open sunday?", "Is the store closed on Sunday?"),
    ("Can I cancel my order?", "How do I cancel an order I just placed?",
     "cancel order please how", "I want to withdraw my order"),
    ("Is the jacket machine washable?", "Can I put the jacket in the washing machine?", "how to wash the jacket"),
    ("Do you repair backpacks?", "My backpack is torn, can you fix it?",
     "backpack repair service?", "Zip of my rucksack broke, do you repair it?"),
    ("Where is my parcel?", "How can I track my delivery?",
     "track my package", "Is there a tracking number for my order?"),
    ("Do you have a student discount?", "Is there a discount for students?", "student reduction?"),
    ("Can I rent skis?", "Do you rent out skis?", "ski rental price?", "How much is it to hire skis?"),
    ("Is there parking at the store?", "Where can I park my car?", "parking near the shop"),
    ("Do you have vegan shoes?", "Which shoes are made without leather?", "vegan footwear?"),
    ("How do I become a dealer?", "Can I resell your products?", "wholesale conditions?"),
)
